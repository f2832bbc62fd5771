"""Migrate a program to distexec, run it on threads and on distexec, and compare.

The program is migrated in a copy of this folder, with the tool that migrates yours. The times are
those of whole processes: the start of Python, of distexec's server and workers, and their end.
"""

import os
import runpy
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

PROGRAM = "analyse_stdlib.py"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "migrated")
        shutil.copytree(Path(__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
        migrate(copy)
        threads, distexec = Path(folder, "threads.json"), Path(folder, "distexec.json")
        original = Path(__file__).with_name(PROGRAM)
        print(f"\n$ python examples/{PROGRAM}", flush=True)
        threads_seconds = run(str(original), "--report", str(threads))
        print(f"\n$ python migrated/{PROGRAM}", flush=True)
        distexec_seconds = run(__file__, str(copy / PROGRAM), "--report", str(distexec))
        is_equal = threads.read_text() == distexec.read_text()

    if not is_equal:
        sys.exit("The results differ: this is a bug in distexec.")
    print("\nEqual results.")
    print(f"  on threads   {threads_seconds:6.2f} s")
    print(f"  on distexec  {distexec_seconds:6.2f} s, server and workers started and ended")
    print(f"  {threads_seconds / distexec_seconds:.2f} times as fast")


def migrate(copy: Path) -> None:
    """Rewrite the program. It reads files (DX501), which nodes on this machine have too."""
    command = ["-m", "distexec.migrate", "--force", "DX501", PROGRAM, "code_metrics.py"]
    # What --revert would need is not kept: the copy is thrown away.
    environment = {**os.environ, "XDG_CACHE_HOME": str(copy / "cache")}
    print("$ python", *command, flush=True)
    subprocess.run([sys.executable, *command], cwd=copy, env=environment, check=False)
    print("\n$ python", *command, "--write", flush=True)
    subprocess.run(
        [sys.executable, *command, "--write"],
        cwd=copy,
        env=environment,
        stdout=subprocess.DEVNULL,
        check=True,
    )


def run(*command: str) -> float:
    """Run a program; return its seconds."""
    started = time.monotonic()
    subprocess.run([sys.executable, *command], check=True)
    return time.monotonic() - started


def run_migrated(program: str) -> None:
    """Run the migrated program as Python would, and print its executor's statistics."""
    import distexec

    class Telling(distexec.ThreadPoolExecutor):
        def shutdown(self, *args: Any, **kwargs: Any) -> None:
            super().shutdown(*args, **kwargs)
            print(self.statistics())

    distexec.ThreadPoolExecutor = Telling  # type: ignore[misc]  # the program shall not know
    sys.path[0], sys.argv = str(Path(program).parent), sys.argv[1:]
    runpy.run_path(program, run_name="__main__")


if __name__ == "__main__":
    if sys.argv[1:]:
        run_migrated(sys.argv[1])
    else:
        main()
