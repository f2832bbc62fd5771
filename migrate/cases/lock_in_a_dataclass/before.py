import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field


@dataclass
class Box:
    size: int
    lock: threading.Lock = field(default_factory=threading.Lock)


def size(box):
    return box.size


box = Box(3)
with ThreadPoolExecutor() as pool:
    print(pool.submit(size, box).result())
