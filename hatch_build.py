"""Compiles the way of a call with mypyc, where a build asks for it: ``make wheel``.

The package is plain Python, and so is a wheel that is built without asking. Compiled, the modules
that `pyproject.toml` lists take a third less processor time: docs/decisions/0010. Their sources are
in the wheel as well, for tracebacks.
"""

import os
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CompileHook(BuildHookInterface):
    """Adds the compiled modules to a wheel. Nothing is written into the source tree."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and name the files."""
        if version == "editable":
            return  # Who edits a module would go on running the one that was compiled.
        self._made = tempfile.TemporaryDirectory()
        for path in compile_modules(Path(self.root), self.config["modules"], self._made.name):
            build_data["force_include"][str(path)] = str(path.relative_to(self._made.name))
        build_data["infer_tag"] = True
        build_data["pure_python"] = False

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what was compiled: it is in the wheel."""
        if version != "editable":
            self._made.cleanup()


def compile_modules(root: Path, modules: list[str], target: str) -> list[Path]:
    """Compile *modules*, paths below ``src``, into the folder *target*; return the files made."""
    from mypyc.build import mypycify
    from setuptools import Distribution
    from setuptools.command.build_ext import build_ext

    left = os.getcwd()
    os.chdir(root / "src")
    try:
        with tempfile.TemporaryDirectory() as intermediate:
            extensions = mypycify(
                # Where a dependency is not installed, as in a build, its types are not known.
                [
                    *("--config-file=", f"--cache-dir={intermediate}"),
                    *("--ignore-missing-imports", "--follow-imports=silent"),
                    *modules,
                ],
                group_name="distexec",
                target_dir=intermediate,
            )
            command = build_ext(Distribution({"name": "distexec", "ext_modules": extensions}))
            command.build_lib, command.build_temp = target, intermediate
            command.ensure_finalized()
            command.run()
    finally:
        os.chdir(left)
    return sorted(Path(target).rglob("*.so"))
