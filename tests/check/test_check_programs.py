"""``python -m distexec.check``: what it sees in running programs, and what it costs."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from distexec.check import Inspector, watch
from distexec.check.__main__ import main
from distexec.check.report import as_data
from distexec.migrate.cli import main as migrate
from distexec.migrate.rules import RULES

ROOT = Path(__file__).resolve().parents[2]
CASES = ROOT / "migrate" / "cases"
SEEN = {
    "closure_append": "DX101",
    "closure_item": "DX101",
    "global_dict": "DX102",
    "global_statement": "DX102",
    "nonlocal_counter": "DX101",
    "self_attribute": "DX104",
    "self_list_through_a_method": "DX104",
    "class_level_store": "DX105",
    "class_attribute_by_name": "DX105",
    "argument_changed_in_place": "DX106",
    "argument_elements_changed": "DX106",
    "lock_in_self": "DX201",
    "lock_in_a_dataclass": "DX201",
    "event_as_argument": "DX201",
    "semaphore_in_closure": "DX201",
    "queue_as_argument": "DX202",
    "queue_in_self": "DX202",
    "database_connection": "DX207",
    "generator_as_argument": "DX206",
    "returns_a_lock": "DX210",
    "returns_a_file": "DX210",
    "generator_function": "DX210",
    "global_lock": "DX201",
    "thread_local": "DX304",
    "asyncio_run_submitted": "DX206",
    "socket_as_argument": "DX204",
}
CLEAN = (
    "from_import",
    "import_module",
    "lambda_is_fine",
    "nested_function_is_fine",
    "partial_is_fine",
    "method_of_plain_object",
    "local_names_are_not_writes",
    "copied_argument",
    "run_in_executor",
    "lock_but_pickles_itself",
    "library_functions",
    "done_callback",
    "process_pool",
)


def check(program: Path, report: Path, *options: str) -> list[dict[str, Any]]:
    """Run a program under the checker in this process; the sites of its report."""
    assert main(["--quiet", "--json", str(report), *options, str(program)]) == 0
    sites: list[dict[str, Any]] = json.loads(report.read_text())["sites"]
    return sites


@pytest.mark.parametrize(("case", "code"), SEEN.items())
def test_the_hazard_is_seen_under_the_code_of_the_migration_tool(
    case: str, code: str, tmp_path: Path
) -> None:
    """One hazard has one name, whether it is read or seen."""
    sites = check(CASES / case / "before.py", tmp_path / "report.json")

    assert code in {finding["code"] for site in sites for finding in site["findings"]}
    for site in sites:
        for finding in site["findings"]:
            assert finding["code"] in RULES


@pytest.mark.parametrize("case", CLEAN)
def test_a_harmless_program_is_found_harmless(case: str, tmp_path: Path) -> None:
    """A checker that cries wolf is switched off."""
    sites = check(CASES / case / "before.py", tmp_path / "report.json", "--replay")

    assert sites
    assert [site["findings"] for site in sites] == [[] for _ in sites]


def test_the_path_to_the_culprit_is_named(tmp_path: Path) -> None:
    """ "cannot pickle '_thread.lock' object" helps nobody."""
    (site,) = check(CASES / "lock_in_a_dataclass" / "before.py", tmp_path / "report.json")

    assert site["findings"][0]["message"] == "cannot be pickled: args[0].lock is a _thread.lock"


def test_a_migrated_program_is_checked_on_threads(tmp_path: Path) -> None:
    """What a call changes can only be seen where memory is shared."""
    program = tmp_path / "app.py"
    program.write_text(
        "import distexec\nseen = []\ndef note(n):\n    seen.append(n)\n"
        "with distexec.ThreadPoolExecutor(2) as pool:\n"
        "    list(pool.options(queue='x').map(note, [1, 2, 3]))\nprint(len(seen))\n"
    )

    (site,) = check(program, tmp_path / "report.json")

    assert [finding["code"] for finding in site["findings"]] == ["DX102"]
    assert site["calls"] == 3


def test_exit_code_and_arguments_are_the_programs_own(tmp_path: Path) -> None:
    """The checker stands in for ``python``."""
    program = tmp_path / "app.py"
    program.write_text("import sys\nsys.exit(len(sys.argv))\n")

    assert main(["--quiet", str(program), "--json", "x"]) == 3
    assert main(["--quiet", str(tmp_path / "missing.py")]) == 2


PROGRAM = """
from distexec import DistributedExecutor
import distexec
seen = []
class Mine(distexec.ThreadPoolExecutor):
    pass
with Mine(max_workers=2, cluster="redis://nowhere.invalid") as pool:
    print(len(list(pool.map(seen.append, [1, 2]))), isinstance(pool, DistributedExecutor))
async def double(n):
    return n * 2
with DistributedExecutor() as pool:
    print(pool.submit(double, pool.put(2)).result())
"""


def test_the_process_can_be_checked_by_environment(tmp_path: Path) -> None:
    """DISTEXEC_CHECK=file: every executor on threads, whatever its cluster; the report at exit."""
    report = tmp_path / "report.json"

    done = run(PROGRAM, DISTEXEC_CHECK=str(report))

    assert done.stdout == "2 True\n4\n"
    assert "2 call sites, 3 calls" in done.stderr
    first, second = json.loads(report.read_text())["sites"]
    assert [finding["code"] for finding in first["findings"]] == ["DX101"]
    assert (second["function"], second["findings"]) == ("double", [])


def test_one_executor_can_be_checked() -> None:
    """cluster="check" asks for it in the program; pools of others are not looked at."""
    done = run(
        "import concurrent.futures, distexec\nseen = []\ndef helper(n):\n    seen.append(n)\n"
        "def note(n):\n    helper(n)\n"
        "with distexec.DistributedExecutor(cluster='check') as pool:\n"
        "    for n in range(4):\n        pool.options(queue='x').submit(note, n).result()\n"
        "with concurrent.futures.ThreadPoolExecutor() as pool:\n    pool.submit(note, 5)\n"
    )

    assert "1 call sites, 4 calls" in done.stderr
    assert "DX102 blocks: changes the global 'seen'" in done.stderr


def test_commands_of_ours_are_not_checked(tmp_path: Path) -> None:
    """DISTEXEC_CHECK=1 may be exported in a shell in which the tools are used as well."""
    done = subprocess.run(
        [sys.executable, "-m", "distexec.migrate", "--list-rules"],
        env={**os.environ, "DISTEXEC_CHECK": "1", "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert done.stderr == ""


def run(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **environment, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )


POOLS = """
from multiprocessing import Pool
from multiprocessing.pool import ThreadPool
seen = []
def note(n, m=0):
    seen.append(n + m)
    return n + m
if __name__ == "__main__":
    with ThreadPool(2) as pool:
        print(pool.map(note, range(5)))
        print(pool.starmap(note, [(1, 2)] * 4))
        print(list(pool.imap_unordered(note, [3])), pool.apply(note, (4,)), sorted(seen))
    with Pool(1) as pool:
        print(pool.map(note, [1, 2]), pool.apply_async(note, (1,), {"m": 4}).get())
        print(list(pool.imap(str, iter([1]))), pool.starmap(pow, [(2, 3)]))
"""


def test_the_pools_of_multiprocessing_are_looked_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are what is migrated most often after the executors; nothing about them changes."""
    program = tmp_path / "app.py"
    program.write_text(POOLS)

    sites = check(program, tmp_path / "report.json")

    printed = "[0, 1, 2, 3, 4]\n[3, 3, 3, 3]\n[3] 4 [0, 1, 2, 3, 3, 3, 3, 3, 3, 4, 4]\n"
    assert capsys.readouterr().out == printed + "[1, 2] 5\n['1'] [8]\n"
    assert [(site["line"], site["calls"]) for site in sites] == [
        (10, 5),
        (11, 4),
        (12, 2),
        (14, 3),
        (15, 2),
    ]
    codes = [{finding["code"] for finding in site["findings"]} for site in sites]
    assert codes == [{"DX102"}, {"DX102"}, {"DX102"}, set(), set()]


DEEP = """
import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
box = []
def keep(into, n): into.append(n)
def by_default(n, into=[]): into.append(n)
def name(n): os.environ["NAME"] = str(n)
def go(n): os.chdir("/tmp" if n % 2 else "/")
with ThreadPoolExecutor(1) as pool:
    for n in range(6):
        pool.submit(partial(keep, box), n).result()
        pool.submit(by_default, n).result()
        pool.submit(name, n).result()
        pool.submit(go, n).result()
"""


def test_what_a_call_reaches_indirectly_is_compared_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through partial, defaults, the environment and the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NAME", "")
    program = tmp_path / "app.py"
    program.write_text(DEEP)

    sites = check(program, tmp_path / "report.json")

    codes = [{finding["code"] for finding in site["findings"]} for site in sites]
    assert codes == [{"DX106"}, {"DX102"}, {"DX504"}, {"DX506"}]


def test_a_replay_notices_a_function_that_depends_on_this_process(tmp_path: Path) -> None:
    """The copy sees the state at the time of the call, and says something else."""
    program = tmp_path / "app.py"
    program.write_text(
        "import itertools\nfrom concurrent.futures import ThreadPoolExecutor\n"
        "import random\ndef roll(n):\n    return random.random()\n"
        "with ThreadPoolExecutor() as pool:\n    list(pool.map(roll, [1, 2]))\n"
    )

    (site,) = check(program, tmp_path / "report.json", "--replay")

    assert [finding["code"] for finding in site["findings"]] == ["DX003"]


def test_evidence_turns_a_guess_into_knowledge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What ran clean is no longer doubted; what failed is certain."""
    text = (
        "from concurrent.futures import ThreadPoolExecutor\n\n\ndef run(jobs):\n"
        "    with ThreadPoolExecutor() as pool:\n"
        "        return [f.result() for f in [pool.submit(job) for job in jobs]]\n\n\n"
    )
    clean, bad = tmp_path / "clean.py", tmp_path / "bad.py"
    clean.write_text(text + "print(run([int, str, list]))\n")
    bad.write_text(
        text + "seen = []\nprint(run([seen.clear, lambda: seen.append(1), seen.copy]))\n"
    )
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    verdicts = {}
    for program in (clean, bad):
        report = tmp_path / "report.json"
        check(program, report)
        capsys.readouterr()
        migrate(["--format", "json", "--no-progress", "--evidence", str(report), str(program)])
        document = json.loads(capsys.readouterr().out)
        verdicts[program.name] = document["sites"][0]["verdict"]

    assert verdicts["clean.py"] == "rewritten"
    assert verdicts["bad.py"] in ("kept", "unsafe")


def test_neighbours_and_the_caller_are_not_blamed_on_a_call() -> None:
    """Only one call at a time is compared, and one change by the caller is no proof."""
    inspector = Inspector()
    stop = watch(inspector)
    ready, box = threading.Event(), {"n": 0}
    try:
        with ThreadPoolExecutor(1) as pool:

            def read(wait: bool) -> int:
                if wait:
                    ready.wait(10)
                return len(box)

            first = pool.submit(read, True)
            box["n"] += 1
            ready.set()
            first.result()
            for _ in range(5):
                pool.submit(read, False).result()
    finally:
        stop()

    severities = {
        finding["severity"]
        for site in as_data(inspector)["sites"]
        for finding in site["findings"]
        if finding["code"] == "DX101"
    }
    assert "blocks" not in severities


def test_the_cost_is_bounded() -> None:
    """A large structure, thousands of calls: below three times the time without the checker."""
    table = {n: list(range(10)) for n in range(300)}

    def program() -> float:
        begin = time.process_time()
        with ThreadPoolExecutor(2) as pool:
            futures = [
                pool.submit(lambda n: sum(map(sum, table.values())) + n, n) for n in range(1500)
            ]
            for future in futures:
                future.result()
        return time.process_time() - begin

    plain = min(program() for _ in range(3))
    stop = watch(Inspector())
    try:
        checked = min(program() for _ in range(3))
    finally:
        stop()

    assert checked < 3 * plain


def test_the_end_of_watching_leaves_nothing_behind() -> None:
    """The checker is a guest."""
    submit: Callable[..., Any] = ThreadPoolExecutor.submit

    watch(Inspector())()

    assert ThreadPoolExecutor.submit is submit
