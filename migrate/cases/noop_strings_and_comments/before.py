# with concurrent.futures.ThreadPoolExecutor() as pool:
TEXT = "from concurrent.futures import ThreadPoolExecutor"
print(len(TEXT))
