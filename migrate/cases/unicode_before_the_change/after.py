import distexec


def größe(n):
    return n * n


with distexec.ThreadPoolExecutor() as pool:
    print("ä", {"ö": distexec.wait([pool.submit(größe, 3)]).done.pop().result()})
