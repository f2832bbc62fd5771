"""The standard library and every installed package go through the tool without a crash."""

import json
import sysconfig
import time
from pathlib import Path

import pytest

from .tools import Command, Tree

TREES = {"standard library": "stdlib", "installed packages": "purelib"}


@pytest.mark.full
@pytest.mark.parametrize("name", TREES)
def test_whole_trees_go_through(
    name: str, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    """Code of all ages and styles: no crash, unparsable files named, the time printed."""
    folder = sysconfig.get_path(TREES[name])
    begin = time.perf_counter()

    result = command("--format", "json", folder)

    seconds = time.perf_counter() - begin
    document = json.loads(result.out)
    files = document["summary"]["files"]
    with capsys.disabled():
        print(f"\n{name}: {files} files in {seconds:.1f} s, {files / seconds:.0f} files/s")
    assert result.code in (0, 1, 3)
    assert files > 100
    for file in document["files"]:
        assert file["error"] is None or file["error"].startswith(("cannot parse", "cannot decode"))


def test_trees_without_executors_are_fast(command: Command, tree: Tree) -> None:
    """At least 1,000 files a second where nothing matters."""
    tree(
        {
            f"p{n // 100}/m{n}.py": "import os\n\n\n" + "def f(x):\n    return x\n" * 50
            for n in range(3000)
        }
    )
    begin = time.process_time()

    result = command("--check", "--jobs", "1", ".")

    assert result.code == 0
    assert 3000 / (time.process_time() - begin) > 1000


def test_trees_full_of_executors_are_fast_enough(command: Command, tree: Tree) -> None:
    """At least 25 files a second and core where everything matters: here with 250 lines each."""
    case = Path(__file__).resolve().parents[2] / "migrate" / "cases" / "self_list_through_a_method"
    text = (case / "before.py").read_text("utf-8").replace("print(", "str(")
    filler = "\n\ndef f{n}(a, b=1, *c, **d):\n    x = [a, b, *c]\n"
    filler += "    y = {{k: v for k, v in d.items()}}\n"
    filler += "    if a:\n        return x + list(y)\n    return sorted(x, key=lambda e: e.size)\n"
    body = text + "".join(filler.format(n=n) for n in range(28))
    tree({f"m{n}.py": body for n in range(60)})
    begin = time.process_time()

    command("--check", "--jobs", "1", ".")

    assert 60 / (time.process_time() - begin) > 25
