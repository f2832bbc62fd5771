import asyncio
from concurrent.futures import ThreadPoolExecutor


def square(n):
    return n * n


async def main():
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(2))
    print(await loop.run_in_executor(None, square, 3))


asyncio.run(main())
