from concurrent.futures import ThreadPoolExecutor


def fib(n, memo=None):
    if memo is None:
        memo = {}
    if n < 2:
        return n
    if n not in memo:
        memo[n] = fib(n - 1, memo) + fib(n - 2, memo)
    return memo[n]


with ThreadPoolExecutor() as ex:
    print(list(ex.map(fib, range(10))))
