from concurrent.futures import ThreadPoolExecutor


def square(n):
	return n * n

def main():
	with ThreadPoolExecutor() as pool:	# tab before
		print(list(pool.map(square, [1, 2])))

main()
