import asyncio
from concurrent.futures import ThreadPoolExecutor


async def answer():
    return 42


def ask(loop):
    return asyncio.run_coroutine_threadsafe(answer(), loop).result()


async def main():
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor() as pool:
        print(await loop.run_in_executor(pool, ask, loop))


asyncio.run(main())
