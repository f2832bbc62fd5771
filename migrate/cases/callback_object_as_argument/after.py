from concurrent.futures import ThreadPoolExecutor


class Report:
    def __init__(self):
        self.lines = []

    def __call__(self, line):
        self.lines.append(line)


def work(n, report: Report):
    report(f"did {n}")
    return n


report = Report()
with ThreadPoolExecutor() as ex:
    print([f.result() for f in [ex.submit(work, n, report) for n in range(3)]])
print(len(report.lines))
