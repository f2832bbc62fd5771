"""The examples in README.md and docs/ run: a page that shows what does not work is worse than none.

`make check` names this file; the usual tests leave it out. Each block that opens with ``python``
after its fence is run as a script, in a process and a folder of its own. A block marked ``python
no-run`` is only compiled: it needs a cluster that is not here.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]
BLOCK = re.compile(r"^( *)```python( no-run)?\n(.*?)^\1```", re.MULTILINE | re.DOTALL)


def examples() -> list[object]:
    """Each block of each page, with its page and line as id."""
    found = []
    for page in filter(Path.exists, PAGES):
        text = page.read_text()
        for block in BLOCK.finditer(text):
            indentation, no_run, code = block.groups()
            line = text.count("\n", 0, block.start()) + 1
            name = f"{page.relative_to(ROOT)}:{line}"
            code = re.sub(f"^{indentation}", "", code, flags=re.MULTILINE)
            found.append(pytest.param(code, not no_run, name, id=name))
    return found


@pytest.mark.parametrize(("code", "run", "name"), examples())
def test_example(code: str, run: bool, name: str, tmp_path: Path) -> None:
    """What is shown can be copied, saved and run."""
    compile(code, name, "exec")
    if not run:
        return
    script = tmp_path / "example.py"
    script.write_text(code)

    finished = subprocess.run(
        [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )

    assert (finished.returncode, finished.stderr) == (0, "")
