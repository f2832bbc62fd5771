from __future__ import annotations

from typing import TYPE_CHECKING

from distexec import ThreadPoolExecutor

if TYPE_CHECKING:
    from concurrent.futures import Future


def square(n):
    return n * n


def first(futures: list[Future[int]]) -> int:
    return futures[0].result()


with ThreadPoolExecutor() as pool:
    print(first([pool.submit(square, 3)]))
