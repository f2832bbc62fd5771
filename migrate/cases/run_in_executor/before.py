import asyncio
from concurrent.futures import ThreadPoolExecutor


def square(n):
    return n * n


async def main():
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor() as pool:
        print(await loop.run_in_executor(pool, square, 3))


asyncio.run(main())
