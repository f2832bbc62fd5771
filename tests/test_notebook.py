"""Notebooks: functions live in ``__main__``, change from cell to cell, and nobody shuts down."""

import json
import os
import subprocess
import sys
from pathlib import Path

CELLS = [
    "import asyncio, os, distexec\nexecutor = distexec.DistributedExecutor(2)\n"
    "def scale(number):\n    return factor() * number\n"
    "def factor():\n    return 2",
    "print(list(executor.map(scale, range(4))))",
    "def factor():\n    return 3",
    "print(list(executor.map(scale, range(4))))",
    "class Point:\n    def __init__(self, x):\n        self.x = x\n"
    "def move(point):\n    return Point(point.x + 1)",
    "print(executor.submit(move, Point(1)).result(30).x)",
    "print(executor.submit(os.getpid).result(30) != os.getpid())",
    "loop = asyncio.get_running_loop()\nprint(await loop.run_in_executor(executor, scale, 5))",
    "print(repr(executor.submit(divmod, 1, 0).exception(30)))",
]

DRIVER = """
import json, sys, nbformat
from nbclient import NotebookClient

cells = [nbformat.v4.new_code_cell(source) for source in json.load(sys.stdin)]
notebook = nbformat.v4.new_notebook(cells=cells)
NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
for cell in notebook.cells:
    for output in cell.outputs:
        print(output.get("text", output), end="")
"""


def test_cells_of_a_notebook_run_on_the_cluster(tmp_path: Path) -> None:
    """A kernel runs an event loop, defines things again, and ends without a goodbye."""
    folders = ("JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR")
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", DRIVER],
        input=json.dumps(CELLS),
        capture_output=True,
        text=True,
        timeout=110,
        env={**os.environ, **{name: str(tmp_path / name.lower()) for name in folders}},
    )

    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines() == [
        "[0, 2, 4, 6]",
        "[0, 3, 6, 9]",
        "2",
        "True",
        "15",
        "ZeroDivisionError('integer division or modulo by zero')",
    ]
