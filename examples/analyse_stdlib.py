"""Analyse every file of the running Python's standard library, and find near-duplicate functions.

Plain ``concurrent.futures``, as people write it. `demo.py` migrates a copy of it to distexec and
compares the two.
"""

import argparse
import json
import os
import sysconfig
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor, as_completed
from itertools import combinations
from pathlib import Path

from code_metrics import Function, Likeness, Module, Place, compare, measure
from progress import Progress

#: Functions that share as many of their 16 smallest shingles are worth a closer look.
SHARED_SHINGLES = 8
#: A shingle in more functions than this is an idiom, and says little about likeness.
COMMON_SHINGLE = 12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--report", type=Path, help="write everything that was found, as JSON")
    options = parser.parse_args()

    with ThreadPoolExecutor() as executor:
        modules = sorted(measure_all(executor, standard_library()))
        likenesses = sorted(compare_all(executor, modules), reverse=True)

    print_summary(modules, likenesses)
    if options.report:
        report = {"modules": modules, "likenesses": likenesses}
        options.report.write_text(json.dumps(report))


def standard_library() -> list[str]:
    """Return the paths of all its files, the largest first, so that none of them comes last."""
    paths = []
    for folder, folders, names in os.walk(sysconfig.get_path("stdlib")):
        if "site-packages" in folders:
            folders.remove("site-packages")
        paths += [os.path.join(folder, name) for name in names if name.endswith(".py")]
    return sorted(paths, key=os.path.getsize, reverse=True)


def measure_all(executor: Executor, paths: list[str]) -> Iterator[Module]:
    """Measure each file in a call of its own."""
    calls = [executor.submit(measure, path) for path in paths]
    for call in Progress(as_completed(calls), len(calls), "measuring files"):
        yield call.result()


def compare_all(executor: Executor, modules: list[Module]) -> Iterator[Likeness]:
    """Compare the functions that look alike by their sketches, in a call for each one."""
    candidates = look_alikes(function for module in modules for function in module.comparable)
    calls = [executor.submit(compare, place, others) for place, others in candidates.items()]
    for call in Progress(as_completed(calls), len(calls), "comparing functions"):
        yield from call.result()


def look_alikes(functions: Iterable[Function]) -> dict[Place, list[Place]]:
    """Return for each function those after it that share enough of its sketch."""
    places = defaultdict(list)
    for function in functions:
        for shingle in function.sketch:
            places[shingle].append(function.place)
    shared = Counter(
        pair
        for alike in places.values()
        if len(alike) <= COMMON_SHINGLE
        for pair in combinations(alike, 2)
    )
    candidates = defaultdict(list)
    for left, right in sorted(pair for pair, count in shared.items() if count >= SHARED_SHINGLES):
        candidates[left].append(right)
    return candidates


def print_summary(modules: list[Module], likenesses: list[Likeness]) -> None:
    """Print what a reader wants to know first."""
    names: Counter[str] = Counter()
    for module in modules:
        names.update(dict(module.names))
    copies = len(modules) - len({module.digest for module in modules})
    unreadable = sum(bool(module.error) for module in modules)
    hardest = max(filter(None, (m.hardest for m in modules)), key=lambda f: f.complexity)
    deepest = max(filter(None, (m.deepest for m in modules)), key=lambda f: f.nesting)
    twins = [likeness for likeness in likenesses if likeness.ratio > 0.9]

    print(f"{len(modules):,} files ({unreadable} unreadable, {copies} copies of others)")
    functions = sum(module.functions for module in modules)
    print(f"{sum(module.lines for module in modules):,} lines, {functions:,} functions")
    print(f"most used names: {', '.join(name for name, _ in names.most_common(8))}")
    print(f"most paths: {hardest.complexity} in {describe(hardest.name, hardest.place)}")
    print(f"deepest: {deepest.nesting} blocks in {describe(deepest.name, deepest.place)}")
    print(f"near-duplicates: {len(twins)} pairs of functions, of {len(likenesses)} compared")


def describe(name: str, place: Place) -> str:
    """Name a function with where it stands."""
    path = Path(place.path).relative_to(sysconfig.get_path("stdlib"))
    return f"{name} ({path}:{place.first_line})"


if __name__ == "__main__":
    main()
