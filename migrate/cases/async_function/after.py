import asyncio
from concurrent.futures import ThreadPoolExecutor


async def answer():
    return 42


with ThreadPoolExecutor() as pool:
    print(asyncio.run(pool.submit(answer).result()))
