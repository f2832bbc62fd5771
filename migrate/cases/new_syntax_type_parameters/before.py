from concurrent.futures import ThreadPoolExecutor

type Number = int | float


def twice[T](item: T) -> list[T]:
    return [item, item]


with ThreadPoolExecutor() as pool:
    print(f"{", ".join(map(str, pool.map(twice, [1, 2])))}")
