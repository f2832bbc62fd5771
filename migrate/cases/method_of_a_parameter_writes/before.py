from concurrent.futures import ThreadPoolExecutor


class Job:
    def __init__(self, n):
        self.n, self.done = n, False

    def finish(self):
        self.done = True


def run(job: Job):
    job.finish()
    return job.n


jobs = [Job(1), Job(2)]
with ThreadPoolExecutor() as pool:
    print(list(pool.map(run, jobs)))
print([job.done for job in jobs])
