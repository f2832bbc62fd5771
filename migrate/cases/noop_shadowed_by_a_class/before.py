class ThreadPoolExecutor:
    def submit(self, fn, *args):
        return fn(*args)


print(ThreadPoolExecutor().submit(len, "abc"))
