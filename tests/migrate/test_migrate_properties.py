"""Generated modules: the output parses, changes what it may, is a fixed point, can go back."""

import ast
import difflib
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from distexec.migrate.cli import main
from distexec.migrate.examine import examine_file
from distexec.migrate.options import Options
from distexec.migrate.project import Project
from distexec.migrate.records import apply_edits
from distexec.migrate.text import Source

from .tools import Command

#: How a module may import, and how it then names the class and ``as_completed``.
IMPORTS = {
    "import concurrent.futures": "concurrent.futures.{}",
    "import concurrent.futures as cf": "cf.{}",
    "import concurrent.futures as futures": "futures.{}",
    "from concurrent import futures": "futures.{}",
    "from concurrent import futures as pools": "pools.{}",
    "from concurrent.futures import {0}, as_completed": "{}",
    "from concurrent.futures import (\n    as_completed,  # in any order\n    {0},\n)": "{}",
    "from concurrent.futures import *": "{}",
    "import sys; from concurrent.futures import {0}, as_completed; import os": "{}",
    "try:\n    from concurrent.futures import {0}, as_completed\nexcept OSError:\n    raise": "{}",
    "from concurrent.futures.thread import {0}\nfrom concurrent.futures import *": "{}",
    "from concurrent.futures import {0}, as_completed, thread": "{}",
}
FUNCTIONS = {
    "safe": "def {name}(n):\n{indent}return n * n\n",
    "global": "def {name}(n):\n{indent}STORE.append(n)\n",
    "file": "def {name}(n):\n{indent}return open(str(n)).read()\n",
    "print": "def {name}(n):\n{indent}print(n)  # "
    "concurrent.futures.ThreadPoolExecutor\n{indent}return n\n",
    "lambda": "{name} = lambda n: n + 1\n",
}
USES = (
    "with {pool}(max_workers=2) as ex:\n{indent}print(list(ex.map({name}, [1, 2])))\n",
    "ex = {pool}()\nfor future in {done}([ex.submit({name}, "
    "1)]):\n{indent}future.result()\nex.shutdown()\n",
    "def run_{name}(items, limit=3):\n{indent}with {pool}(limit) as ex:\n"
    '{indent}{indent}return [f.result() for f in [ex.submit({name}, x) for x in items]]  # "q"\n',
    "class C_{name}:\n{indent}def __init__(self):\n{indent}{indent}self.ex = {pool}(2)\n"
    "{indent}def run(self):\n{indent}{indent}return self.ex.submit({name}, 1).result()\n",
    "text = '{pool}'  # {pool}\n",
    "with {pool}() as ex:  # distexec: local\n{indent}ex.submit({name}, 1).result()\n",
)


@st.composite
def modules(draw: st.DrawFn) -> bytes:
    """The bytes of a module that uses executors in one of very many ways."""
    statement, naming = draw(st.sampled_from(sorted(IMPORTS.items())))
    indent = draw(st.sampled_from(["    ", "  ", "\t"]))
    pool_class = "ThreadPoolExecutor"
    parts = [
        draw(
            st.sampled_from(
                ["", '"""Über."""\n', "#!/usr/bin/env python\n# -*- coding: utf-8 -*-\n"]
            )
        )
    ]
    parts += [statement.format(pool_class), "\n\nSTORE = []\n\n"]
    for number in range(draw(st.integers(1, 4))):
        name = f"work{number}"
        kind = draw(st.sampled_from(sorted(FUNCTIONS)))
        use = draw(st.sampled_from(USES))
        parts.append(FUNCTIONS[kind].format(name=name, indent=indent) + "\n")
        if draw(st.booleans()):
            parts.append("\f\n")
        parts.append(
            use.format(
                name=name,
                indent=indent,
                pool=naming.format(pool_class),
                done=naming.format("as_completed"),
            )
            + "\n"
        )
    text = "".join(parts)
    if draw(st.booleans()):
        text = text.rstrip("\n")
    text = text.replace("\n", draw(st.sampled_from(["\n", "\r\n"])))
    return draw(st.sampled_from([b"", b"\xef\xbb\xbf"])) + text.encode()


def rewrite(raw: bytes, **options: bool) -> bytes:
    """One pass of the tool."""
    source = Source.decode("module.py", raw)
    report = examine_file(source, Project.of(["module.py"]), Options(**options))  # type: ignore[arg-type]
    assert report.error is None
    return source.encode(apply_edits(source.text, report.edits))


@settings(deadline=None)
@given(raw=modules(), unsafe=st.booleans())
def test_the_output_parses_and_is_a_fixed_point(raw: bytes, unsafe: bool) -> None:
    """One pass is enough, whatever the module looks like."""
    once = rewrite(raw, unsafe=unsafe)

    ast.parse(once)
    assert rewrite(once, unsafe=unsafe) == once


@settings(deadline=None)
@given(raw=modules())
def test_only_lines_that_name_the_library_change(raw: bytes) -> None:
    """Every other line is byte for byte the same, and no comment is lost."""
    once = rewrite(raw)

    before, after = raw.splitlines(keepends=True), once.splitlines(keepends=True)
    for line in difflib.ndiff(
        [b.decode("latin-1") for b in before], [a.decode("latin-1") for a in after]
    ):
        if line.startswith("- "):
            assert re.search(
                r"concurrent|ThreadPoolExecutor|as_completed|thread|futures|cf\.|pools\.", line
            )
        if line.startswith("+ "):
            assert re.search(r"distexec|concurrent", line)
    comments = re.compile(rb"#[^\r\n]*")
    assert sorted(comments.findall(raw)) == sorted(comments.findall(once))


@settings(deadline=None)
@given(raw=modules())
def test_nothing_unused_is_imported(raw: bytes) -> None:
    """An import that the rewrite left or added without a use would be our litter."""
    once = rewrite(raw)

    def unused(text: bytes) -> set[str]:
        tree = ast.parse(text)
        imports = [n for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom)]
        bound = {(a.asname or a.name).partition(".")[0] for n in imports for a in n.names}
        return bound - {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)} - {"*"}

    assert unused(once) <= unused(raw)


@settings(
    deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(raw=modules())
def test_write_then_revert_gives_the_original_bytes(
    raw: bytes, tmp_path: Path, command: Command
) -> None:
    """Trying the tool costs nothing."""
    path = tmp_path / "module.py"
    path.write_bytes(raw)

    main(["--write", "--unsafe", "--no-progress", str(path)])
    main(["--write", "--revert", "--no-progress", str(path)])

    assert path.read_bytes() == raw


@pytest.mark.parametrize(
    "statement", ["from concurrent import futures", "import concurrent.futures as cf"]
)
def test_revert_needs_no_memory_for_common_styles(
    command: Command, tmp_path: Path, statement: str
) -> None:
    """A file edited after the rewrite is reverted by syntax alone."""
    name = statement.rpartition(" ")[2]
    text = (
        f"{statement}\n\nwith {name}.ThreadPoolExecutor() as pool:\n"
        "    print(pool.submit(abs, 1).result())\n"
    )
    path = tmp_path / "module.py"
    path.write_text(text)
    command("--write", str(path))
    path.write_text(path.read_text() + "# edited\n")

    command("--write", "--revert", str(path))

    assert path.read_text() == text + "# edited\n"
