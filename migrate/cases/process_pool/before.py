import concurrent.futures
import math

PRIMES = [2, 3, 4]


def is_prime(n):
    return n > 1 and all(n % i for i in range(2, int(math.sqrt(n)) + 1))


def main():
    with concurrent.futures.ProcessPoolExecutor() as executor:
        for number, prime in zip(PRIMES, executor.map(is_prime, PRIMES)):
            print(number, prime)


if __name__ == "__main__":
    main()
