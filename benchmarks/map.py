"""How many inputs does `map` take in a second if the function does nothing?"""

from contextlib import suppress

from _contenders import Pool
from _contest import DroppedOut, contest, seconds_of
from _report import Report, read_options, run
from _work import noop

INPUTS = 100_000
#: As many where each is a message of its own: the others' turns would last ten times as long.
FEW_INPUTS = 10_000

#: The chunk sizes that a local pool is tried with; its best one is what ours is compared with.
CHUNK_SIZES = (1, 10, 100, 1000, 10_000)

NAMES = ("distexec", "ThreadPoolExecutor", "ProcessPoolExecutor", "loky", "joblib")


def measure(pool: Pool, inputs: int, chunksize: int | None) -> float:
    """Inputs for each second."""
    return inputs / seconds_of(pool.map, noop, range(inputs), chunksize)


def main() -> None:
    options = read_options(__doc__, rounds=3)
    inputs, few = (200, 200) if options.quick else (INPUTS, FEW_INPUTS)
    report = Report("map", __doc__ or "", "inputs/s", plot="inputs/s")
    found: dict[str, list[float]] = {}
    with contest(measure, NAMES, options) as open_contest:
        for round_ in range(options.rounds + 1):
            for name in open_contest.names:
                local = name in ("ProcessPoolExecutor", "loky")
                for size in CHUNK_SIZES if local else (None,):
                    row = f"{name}, chunksize {size}" if size else name
                    count = few if size == 1 else inputs
                    with suppress(DroppedOut):
                        rate = open_contest.turn(name, count, size)
                        if round_:
                            found.setdefault(row, []).append(rate)
    for row, samples in found.items():
        report.add(row, "inputs/s", samples)
    ours = report.median("distexec", "inputs/s")
    theirs = [
        report.median(f"ProcessPoolExecutor, chunksize {size}", "inputs/s") for size in CHUNK_SIZES
    ]
    report.target(
        "at least half of ProcessPoolExecutor with its best chunksize",
        ours / max(theirs),
        at_least=0.5,
    )
    report.target(
        "at least 30 times ProcessPoolExecutor with chunksize 1", ours / theirs[0], at_least=30
    )
    report.finish(options)


if __name__ == "__main__":
    run(main)
