from concurrent.futures import ThreadPoolExecutor


def run_all(session, names):
    with ThreadPoolExecutor() as pool:
        return list(pool.map(fetch, names, [session] * len(names))), pool.submit(fetch, "x", session).result()


def fetch(name, session):
    return name + session


print(run_all("!", ["a", "b"]))
