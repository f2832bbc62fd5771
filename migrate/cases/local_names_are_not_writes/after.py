from distexec import ThreadPoolExecutor


def count(words):
    counts = {}
    for word in words:
        counts[word] = counts.get(word, 0) + 1
    return counts


with ThreadPoolExecutor() as pool:
    print(list(pool.map(count, [["a", "b", "a"], ["c"]])))
