"""The programs in examples/: the first that a visitor runs."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture
def metrics(monkeypatch: pytest.MonkeyPatch) -> object:
    """The module code_metrics, which the demo's calls come from."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import code_metrics

    return code_metrics


SOURCE = """
def first(items):
    for item in items:
        if item and item > 1:
            print(item)
        elif not item:
            print("none")
"""


def test_functions_are_measured(metrics, tmp_path: Path) -> None:
    """An ``elif`` is a path more and no block deeper, as a reader would count."""
    path = tmp_path / "module.py"
    path.write_text(SOURCE)

    module = metrics.measure(str(path))

    function = module.hardest
    assert module.functions == 1
    assert (function.name, function.complexity, function.nesting) == ("first", 5, 2)
    assert (module.lines, module.code_lines) == (7, 6)
    assert module.names[0] == ("item", 5)


def test_renamed_function_is_a_near_duplicate(metrics, tmp_path: Path) -> None:
    """Names and values do not count in a comparison, and a method counts as a function."""
    body = "".join(f"        total += values[{n}] * {n}\n" for n in range(20))
    left, right = tmp_path / "left.py", tmp_path / "right.py"
    left.write_text(f"class A:\n    def sum(self, values, total=0):\n{body}")
    right.write_text("def other(this, numbers, total=1):\n" + body.replace("values", "numbers"))
    (ours,), (theirs,) = (metrics.measure(str(path)).comparable for path in (left, right))

    (likeness,) = metrics.compare(ours.place, [theirs.place])

    assert ours.sketch == theirs.sketch
    assert likeness.ratio == 1


def test_unreadable_file_is_reported(metrics, tmp_path: Path) -> None:
    """The standard library has files with wrong syntax, for its tests."""
    path = tmp_path / "module.py"
    path.write_text("print 'old'\n")

    module = metrics.measure(str(path))

    assert "parentheses" in module.error
    assert module.functions == 0


@pytest.mark.full
@pytest.mark.timeout(300)
def test_demo_migrates_and_gives_equal_results_on_threads_and_on_distexec() -> None:
    """What `make demo` shows first must never be a difference."""
    command = [sys.executable, str(EXAMPLES / "demo.py")]

    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert "+from distexec import Executor, ThreadPoolExecutor, as_completed" in shown
    assert "Equal results." in shown
    assert "Statistics(" in shown
