"""``python -m distexec.check [options] script.py args...``."""

import argparse
import os
import runpy
import sys
from pathlib import Path

from distexec.check.inspector import Inspector
from distexec.check.process import watch
from distexec.check.report import as_json, as_text


def main(arguments: list[str] | None = None) -> int:
    """Run a script, look at its calls, report; the script's exit code is returned."""
    parser = argparse.ArgumentParser(
        prog="python -m distexec.check",
        description="Run a program on threads as it is, and see what would break on a cluster.",
    )
    parser.add_argument("--json", metavar="FILE", help="write the report as JSON, for --evidence")
    parser.add_argument(
        "--replay",
        action="store_true",
        help="run checked calls again from their pickled copy, and compare",
    )
    parser.add_argument("--quiet", action="store_true", help="no report on stderr")
    parser.add_argument(
        "-m", dest="module", action="store_true", help="the script is a module's name"
    )
    parser.add_argument("script", help="the program")
    parser.add_argument("args", nargs=argparse.REMAINDER, help="its arguments")
    given = parser.parse_args(arguments)
    if not given.module and not os.path.exists(given.script):
        print(f"python -m distexec.check: no such file: {given.script}", file=sys.stderr)
        return 2
    inspector = Inspector(replay=given.replay)
    stop = watch(inspector)
    argv, path = sys.argv, list(sys.path)
    sys.argv = [given.script, *given.args]
    code = 0
    try:
        if given.module:
            sys.path.insert(0, os.getcwd())
            runpy.run_module(given.script, run_name="__main__", alter_sys=True)
        else:
            sys.path.insert(0, str(Path(given.script).resolve().parent))
            runpy.run_path(given.script, run_name="__main__")
    except SystemExit as end:
        code = _exit_code(end)
    finally:
        stop()
        sys.argv, sys.path[:] = argv, path
        if given.json:
            Path(given.json).write_text(as_json(inspector) + "\n", "utf-8")
        if not given.quiet:
            print(as_text(inspector), file=sys.stderr)
    return code


def _exit_code(end: SystemExit) -> int:
    if end.code is None or isinstance(end.code, int):
        return end.code or 0
    print(end.code, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
