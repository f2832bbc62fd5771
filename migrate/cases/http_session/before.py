import requests
from concurrent.futures import ThreadPoolExecutor

session = requests.Session()


def fetch(url):
    return session.get(url).text


with ThreadPoolExecutor() as pool:
    print(list(pool.map(fetch, ["http://localhost/"])))
