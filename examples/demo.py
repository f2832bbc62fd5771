"""Run one program twice, on threads and on distexec, each in a fresh process, and compare.

The times are those of whole processes: the start of Python, of distexec's server and workers, and
their end.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

PROGRAM = Path(__file__).with_name("analyse_stdlib.py")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        threads, threads_seconds = run("concurrent.futures", Path(folder, "threads.json"))
        distexec, distexec_seconds = run("distexec", Path(folder, "distexec.json"))

    statistics = distexec.pop("statistics")
    del threads["statistics"]
    if threads != distexec:
        sys.exit("The results differ: this is a bug in distexec.")
    print("\nEqual results.")
    print(f"  on threads   {threads_seconds:6.2f} s")
    print(f"  on distexec  {distexec_seconds:6.2f} s, server and workers started and ended")
    print(f"  {threads_seconds / distexec_seconds:.2f} times as fast\n")
    print(statistics)


def run(futures: str, report: Path) -> tuple[dict[str, Any], float]:
    """Run the program on the executor of module *futures*; return its report and its seconds."""
    command = [sys.executable, str(PROGRAM), "--futures", futures, "--report", str(report)]
    print(f"\n$ python examples/{PROGRAM.name} --futures {futures}", flush=True)
    started = time.monotonic()
    subprocess.run(command, check=True)
    seconds = time.monotonic() - started
    return json.loads(report.read_text()), seconds


if __name__ == "__main__":
    main()
