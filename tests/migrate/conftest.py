"""Two small tools: rewrite a text, and run the command on a tree of files."""

import textwrap
from pathlib import Path

import pytest

from distexec.migrate.cli import main
from distexec.migrate.examine import examine_file
from distexec.migrate.options import Options
from distexec.migrate.project import Project
from distexec.migrate.records import FileReport, apply_edits
from distexec.migrate.text import Source

from .tools import Command, Examine, Result, Tree


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what --write remembers for --revert out of the user's cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def examine() -> Examine:
    """Rewrite one module in memory; give back its new text and the report."""

    def run(text: str, **options: object) -> tuple[str, FileReport]:
        source = Source("module.py", textwrap.dedent(text))
        report = examine_file(source, Project.of(["module.py"]), Options(**options))  # type: ignore[arg-type]
        return apply_edits(source.text, report.edits), report

    return run


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    """Write files below a fresh folder, and make it the current one."""

    def write(files: dict[str, str]) -> Path:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text), "utf-8")
        monkeypatch.chdir(tmp_path)
        return tmp_path

    return write


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Run ``python -m distexec.migrate`` in this process."""

    def run(*arguments: str) -> Result:
        code = main(["--no-progress", *arguments])
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return run
