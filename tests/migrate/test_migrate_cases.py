"""Every case of ``migrate/cases``: what the tool makes of it, and that it still says the same."""

import ast
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from distexec.migrate.cli import main
from distexec.migrate.examine import examine_file
from distexec.migrate.options import Options
from distexec.migrate.project import Project
from distexec.migrate.records import apply_edits
from distexec.migrate.syntax import parse
from distexec.migrate.text import Source

ROOT = Path(__file__).resolve().parents[2]
CASES = sorted(path for path in (ROOT / "migrate" / "cases").iterdir() if path.is_dir())
CHANGED = [
    case for case in CASES if (case / "before.py").read_bytes() != (case / "after.py").read_bytes()
]


def rewritten(raw: bytes) -> bytes:
    """What the tool makes of a file."""
    source = Source.decode("before.py", raw)
    report = examine_file(source, Project.of(["before.py"]), Options())
    assert report.error is None
    return source.encode(apply_edits(source.text, report.edits))


def names(cases: list[Path]) -> list[str]:
    return [case.name for case in cases]


@pytest.mark.parametrize("case", CASES, ids=names(CASES))
def test_the_case_is_rewritten_as_written_down(case: Path) -> None:
    """The cases are the specification that people read."""
    assert rewritten((case / "before.py").read_bytes()) == (case / "after.py").read_bytes()


@pytest.mark.parametrize("case", CASES, ids=names(CASES))
def test_the_report_is_as_written_down(
    case: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """People learn from the text of the report, so it may not change unnoticed."""
    monkeypatch.chdir(case)

    main(["--check", "--no-progress", "before.py"])

    assert capsys.readouterr().out == (case / "report.txt").read_text("utf-8")


@pytest.mark.parametrize("case", CHANGED, ids=names(CHANGED))
def test_a_second_run_changes_nothing(case: Path) -> None:
    """One pass is enough: nobody has to run the tool until it settles."""
    after = (case / "after.py").read_bytes()

    assert rewritten(after) == after


@pytest.mark.parametrize("case", CASES, ids=names(CASES))
def test_the_output_parses(case: Path) -> None:
    """A rewrite that breaks the syntax would be worse than none."""
    parse(Source.decode("after.py", (case / "after.py").read_bytes()))


def test_there_are_enough_cases_and_most_are_left_alone() -> None:
    """A humble tool is mostly tested on what it must not touch."""
    assert len(CASES) >= 120
    assert len(CHANGED) < len(CASES) / 2


def is_runnable(path: Path) -> bool:
    """Whether this interpreter can run the program as it stands."""
    try:
        tree = ast.parse(path.read_bytes())
    except SyntaxError:
        return False
    modules = {alias.name for n in ast.walk(tree) if isinstance(n, ast.Import) for alias in n.names}
    modules |= {n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    tops = {module.partition(".")[0] for module in modules}
    if "input(" in path.read_text("utf-8"):
        return False
    return all(importlib.util.find_spec(top) is not None for top in tops)


def start(path: Path, **environment: str) -> "subprocess.Popen[str]":
    """Run the program."""
    return subprocess.Popen(
        [sys.executable, path.name],
        cwd=path.parent,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT / "src"),
            "PYTHONDONTWRITEBYTECODE": "1",
            **environment,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def outputs(*programs: "subprocess.Popen[str]") -> list[str]:
    """What the programs print; they run at the same time."""
    printed = []
    for program in programs:
        try:
            out, error = program.communicate(timeout=100)
        finally:
            program.kill()
        assert program.returncode == 0, error
        printed.append(out)
    return printed


RUNNABLE = [case for case in CHANGED if is_runnable(case / "before.py")]
has_executor = importlib.util.find_spec("distexec.executor") is not None
needs_executor = pytest.mark.skipif(not has_executor, reason="the executor is not there")


@needs_executor
@pytest.mark.parametrize("case", RUNNABLE, ids=names(RUNNABLE))
def test_the_rewritten_program_prints_the_same_on_the_twin(case: Path) -> None:
    """The promise of the tool: what it rewrites goes on working."""
    after = start(case / "after.py", DISTEXEC_URL="threads")
    printed, expected = outputs(after, start(case / "before.py"))

    assert printed == expected


@needs_executor
@pytest.mark.full
@pytest.mark.parametrize("case", RUNNABLE, ids=names(RUNNABLE))
def test_the_rewritten_program_prints_the_same_on_a_cluster(case: Path) -> None:
    """The same on real workers, where nothing is shared."""
    printed, expected = outputs(start(case / "after.py"), start(case / "before.py"))

    assert printed == expected


@pytest.mark.full
@pytest.mark.parametrize("case", CASES, ids=names(CASES))
def test_the_case_is_a_working_program(case: Path) -> None:
    """A case that never worked proves nothing."""
    if not is_runnable(case / "before.py") or "distexec" in (case / "before.py").read_text("utf-8"):
        pytest.skip("needs something that is not installed here")

    assert outputs(start(case / "before.py")) != [""]
