"""The benchmarks run, in their smallest form, and end; their figures mean nothing here."""

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
QUESTIONS = sorted(path.stem for path in FOLDER.glob("[a-z]*.py"))

#: These run with every change: what all of them share, and the simulation.
ALWAYS = ("mixed", "simulate")


def start(question: str, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, FOLDER / f"{question}.py", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


@pytest.fixture
def report() -> Iterator[ModuleType]:
    """The module that writes results."""
    sys.path.insert(0, str(FOLDER))
    try:
        import _report

        yield _report
    finally:
        sys.path.remove(str(FOLDER))


@pytest.mark.parametrize(
    "question",
    [
        pytest.param(question, marks=() if question in ALWAYS else pytest.mark.full)
        for question in QUESTIONS
    ],
)
def test_each_question_gets_an_answer(question: str) -> None:
    """What is run once in a while breaks in between. A try must leave the written results alone."""
    before = {path: path.read_bytes() for path in (FOLDER / "results").glob("*")}

    with start(question, "--quick") as process:
        output, _ = process.communicate(timeout=100)

    assert process.returncode == 0, output
    assert "?" in output
    assert {path: path.read_bytes() for path in (FOLDER / "results").glob("*")} == before


@pytest.mark.full
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_benchmark_with_all_it_started(how: signal.Signals) -> None:
    """Somebody will press Ctrl-C, or set a time limit; the module's fixture looks for what is left
    behind."""
    with start("throughput", "--only", "distexec,celery", "--rounds", "1000") as process:
        assert process.stdout is not None
        while process.poll() is None and "peers are ready" not in process.stdout.readline():
            pass
        os.killpg(process.pid, how)
        output, _ = process.communicate(timeout=60)

    assert "Traceback" not in output
    assert process.returncode == 128 + how


def answer_or_hang(pool: object, must_hang: bool) -> str:
    """What a contender's process does in its turn."""
    if must_hang:
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
        time.sleep(1000)
    return "an answer"


def test_who_hangs_drops_out_and_the_others_go_on(
    report: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    """One contender that hangs must not hold up a quarter of an hour of benchmarks, nor leave its
    processes behind: the module's fixture looks for them."""
    from _contest import DroppedOut, contest

    options = report.Options(quick=True, rounds=2, only=())
    names = ("ThreadPoolExecutor", "ProcessPoolExecutor")
    with contest(answer_or_hang, names, options, turn_seconds=0.5) as contenders:
        with pytest.raises(DroppedOut):
            contenders.turn("ThreadPoolExecutor", True)
        contenders.turn_seconds = 60.0
        answers = contenders.rounds(2, False)

    assert answers == {"ProcessPoolExecutor": ["an answer", "an answer"]}
    assert options.missing == {"ThreadPoolExecutor": "did not finish within 0.5 seconds"}
    assert "did not finish" in capsys.readouterr().out


def test_restless_contenders_have_their_turns_apart(
    report: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What disturbs others while it rests is compared with a distexec that it disturbed as well.
    The row of that one names only those that were really there."""
    from _contenders import CONTENDERS, Contender
    from _contest import contests

    rests_badly = CONTENDERS["ProcessPoolExecutor"]._replace(is_restless=True)
    monkeypatch.setitem(CONTENDERS, "ProcessPoolExecutor", rests_badly)
    # The processes of contenders do not know this one, so it cannot start.
    monkeypatch.setitem(CONTENDERS, "broken", Contender(rests_badly.open, is_restless=True))
    options = report.Options(quick=True, rounds=1, only=())
    names = ("ProcessPoolExecutor", "distexec", "broken", "ThreadPoolExecutor")

    found = [each.rounds(1, False) for each in contests(answer_or_hang, names, options)]

    answer = ["an answer"]
    assert found == [
        {"distexec": answer, "ThreadPoolExecutor": answer},
        {"distexec, beside ProcessPoolExecutor": answer, "ProcessPoolExecutor": answer},
    ]
    assert options.missing == {"broken": "did not start"}


def test_without_a_restless_contender_there_is_one_group(
    report: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has no dask and no ray does not wait for a second measurement of distexec."""
    from _contenders import CONTENDERS
    from _contest import contests

    absent = CONTENDERS["dask"]._replace(module="not_installed_anywhere")
    monkeypatch.setitem(CONTENDERS, "dask", absent)
    options = report.Options(quick=True, rounds=1, only=())
    names = ("ThreadPoolExecutor", "dask")

    found = [each.names for each in contests(answer_or_hang, names, options)]

    assert found == [["ThreadPoolExecutor"]]
    assert options.missing == {"dask": "is not installed"}


def test_a_ratio_is_of_two_that_were_measured_side_by_side(report: ModuleType) -> None:
    """No benchmark has to know who is restless."""
    some = report.Report("some", "How fast?", "ms", plot="p50")
    both = report.beside("distexec", ["dask", "ray"])
    for name, value in (("distexec", 1.0), ("celery", 8.0), (both, 2.0), ("dask", 8.0)):
        some.add(name, "p50", [value])

    assert both == "distexec, beside dask and ray"
    assert some.ratio("p50", "celery", "distexec") == 8.0
    assert some.ratio("p50", "dask", "distexec") == 4.0
    assert some.ratio("p50", "distexec", "dask") == 0.25
    assert math.isnan(some.ratio("p50", "distexec", "ray"))


def test_a_result_is_read_as_it_was_written(
    report: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The README is made from the files, later and maybe elsewhere."""
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    written = report.Report("some", "How fast?\n\nA note.", "ms", plot="p50")
    written.add("distexec", "p50", [1.0, 2.0, 4.0])
    written.add("peer", "p50", [4.0])
    written.target("faster", written.ratio("p50", "distexec", "peer"), at_most=0.4)
    written.target("of a peer that is not there", written.ratio("p50", "peer", "none"), at_most=1)

    written.finish(report.Options(quick=False, rounds=3, only=()))

    found = report.read(tmp_path / "some.json")
    assert found == written
    assert found.notes == ["A note."]
    assert [target.is_met for target in found.targets] == [False]
    assert report.cell(found, "distexec", "p50") == "2 (1 to 4)"


def test_every_result_can_be_drawn(
    report: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`make bench-report` draws bars, also over many powers of ten, and curves; a second run
    changes nothing."""
    import _pictures

    monkeypatch.setattr(_pictures, "RESULTS", tmp_path)
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    monkeypatch.setattr(_pictures, "README", tmp_path / "README.md")
    first, last = _pictures._MARKS
    (tmp_path / "README.md").write_text(f"before\n{first}\nold\n{last}\nafter\n")
    bars = report.Report("bars", "How <long>?", "ms", plot="p50")
    curve = report.Report("curve", "How long?", "ms", plot="bytes", is_curve=True)
    for name, factor in (("distexec", 1.0), ("peer", 1000.0)):
        bars.add(name, "p50", [factor, 2 * factor])
        curve.add(name, "10 B", [factor])
        curve.add(name, "1 MB", [2 * factor])
    for each in (bars, curve):
        each.finish(report.Options(quick=False, rounds=1, only=()))

    _pictures.main()
    once = {path.name: path.read_text() for path in tmp_path.iterdir()}
    _pictures.main()

    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == once
    assert (
        "old" not in once["README.md"] and "| peer | 1,500 (1,000 to 2,000) |" in once["README.md"]
    )
    assert once["README.md"].startswith("before\n") and once["README.md"].endswith("\nafter\n")
    assert "<rect" in once["bars.svg"] and "How &lt;long&gt;?" in once["bars.svg"]
    assert "<polyline" in once["curve.svg"]
