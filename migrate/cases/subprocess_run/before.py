import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip()


with ThreadPoolExecutor() as pool:
    print(list(pool.map(run, ["print(1)", "print(2)"])))
