from concurrent.futures import ThreadPoolExecutor

from somewhere import Scheduler

scheduler = Scheduler(ThreadPoolExecutor(2))
scheduler.start()
