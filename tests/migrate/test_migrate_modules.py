"""Several modules together: pools that travel, patches in tests, effects far away."""

import json
import textwrap
from pathlib import Path
from typing import Any

from .tools import Command, Examine, Tree

WORK = """\
from concurrent.futures import ThreadPoolExecutor

pool = ThreadPoolExecutor(4)


def square(n):
    return n * n
"""


def findings(command: Command, *arguments: str) -> list[dict[str, Any]]:
    """All findings of a run on the current folder."""
    document = json.loads(command("--format", "json", *arguments, ".").out)
    return list(document["findings"])


def test_a_global_pool_is_followed_into_modules_that_import_it(
    command: Command, tree: Tree
) -> None:
    """What is submitted elsewhere decides here."""
    tree(
        {
            "app/__init__.py": "",
            "app/pools.py": WORK,
            "app/jobs.py": """
                from app.pools import pool

                seen = []

                def note(n):
                    seen.append(n)

                def run():
                    return [pool.submit(note, n) for n in range(3)]
            """,
        }
    )

    found = findings(command)

    assert [
        (f["code"], f["path"].rpartition("/")[2], f["line"], f["site_line"]) for f in found
    ] == [("DX102", "jobs.py", 7, 3)]


def test_a_global_write_is_found_through_an_imported_helper(command: Command, tree: Tree) -> None:
    """The message says which call leads there."""
    tree(
        {
            "helpers.py": "log = []\n\n\ndef note(text):\n    log.append(text)\n",
            "app.py": WORK
            + "\n\ndef step(n):\n    helpers.note(n)\n\n\n"
            + "import helpers\nprint(pool.submit(step, 1).result())\n",
        }
    )

    (found,) = findings(command)

    assert found["code"] == "DX102"
    assert found["path"].endswith("helpers.py")
    assert "note() called from step() line 11" in found["message"]


def test_attributes_are_resolved_through_classes_of_other_modules(
    command: Command, tree: Tree
) -> None:
    """A lock in a base class of another module travels with self."""
    tree(
        {
            "base.py": "import threading\n\n\nclass Base:\n    def __init__(self):\n        "
            "self.lock = threading.Lock()\n",
            "app.py": """
                from concurrent.futures import ThreadPoolExecutor
                from base import Base

                class Worker(Base):
                    def work(self, n):
                        return n

                with ThreadPoolExecutor() as pool:
                    print(list(pool.map(Worker().work, [1])))
            """,
        }
    )

    assert [f["code"] for f in findings(command)] == ["DX201"]


def test_patch_strings_follow_the_code(command: Command, tree: Tree) -> None:
    """A patch that silently stops reaching its target leaves a test that tests nothing."""
    app = WORK.replace(
        "from concurrent.futures import ThreadPoolExecutor", "import concurrent.futures"
    )
    app = (
        app.replace("= Thread", "= concurrent.futures.Thread")
        + "\n\nprint(pool.submit(square, 2).result())\n"
    )
    root = tree(
        {
            "app.py": app,
            "test_app.py": """
                from unittest.mock import patch
                import app

                @patch("app.concurrent.futures.ThreadPoolExecutor")
                @patch("concurrent.futures.ThreadPoolExecutor")
                def test_it(mock, other):
                    print("concurrent.futures.ThreadPoolExecutor")
            """,
        }
    )

    assert command("--write", ".").code == 0
    text = (root / "test_app.py").read_text()
    assert '@patch("app.distexec.ThreadPoolExecutor")' in text
    assert '@patch("distexec.ThreadPoolExecutor")' in text
    assert 'print("concurrent.futures.ThreadPoolExecutor")' in text


def test_a_patch_that_reaches_only_a_part_is_reported(command: Command, tree: Tree) -> None:
    """Two pools of one name part ways: the tool cannot know which one the test means."""
    tree(
        {
            "app.py": WORK
            + "\nother = ThreadPoolExecutor()\nseen = []\n\n\n"
            + "def note(n):\n    seen.append(n)\n\n\n"
            + "print(pool.submit(square, 2).result(), other.submit(note, 1).result())\n",
            "test_app.py": 'from unittest.mock import patch\n\n\n@patch("app.ThreadPoolExecutor")\n'
            "def test_it(mock):\n    pass\n",
        }
    )

    assert "DX408" in {f["code"] for f in findings(command)}


def test_a_re_exported_class_is_recognised(command: Command, tree: Tree) -> None:
    """Many projects have a compat module."""
    root = tree(
        {
            "compat.py": "from concurrent.futures import ThreadPoolExecutor\n",
            "app.py": WORK.replace("concurrent.futures", "compat")
            + "\n\nprint(pool.submit(square, 2).result())\n",
        }
    )

    command("--write", ".")

    assert (root / "app.py").read_text().startswith("from distexec import ThreadPoolExecutor\n")
    assert "concurrent.futures" in (root / "compat.py").read_text()


def test_two_pools_under_one_variable_are_told_apart(examine: Examine) -> None:
    """People write ``with ... as pool`` twice in one function."""
    text, report = examine(
        """
        from concurrent.futures import ThreadPoolExecutor
        seen = []
        def square(n):
            return n * n
        def note(n):
            seen.append(n)
        def main():
            with ThreadPoolExecutor() as pool:
                print(list(pool.map(square, [1])))
            with ThreadPoolExecutor() as pool:
                print(list(pool.map(note, [1])))
        """
    )

    assert [site.verdict.value for site in report.sites] == ["rewritten", "kept"]
    assert text.count("distexec.ThreadPoolExecutor()") == 1


def test_pools_of_two_classes_are_told_apart(examine: Examine) -> None:
    """``self._pool`` of one class is not that of another."""
    _, report = examine(
        """
        from concurrent.futures import ThreadPoolExecutor
        seen = []
        def square(n):
            return n * n
        class A:
            def __init__(self):
                self._pool = ThreadPoolExecutor()
            def run(self):
                return self._pool.submit(square, 1).result()
        class B:
            def __init__(self):
                self._pool = ThreadPoolExecutor()
            def run(self):
                return self._pool.submit(seen.append, 1).result()
        """
    )

    assert [site.verdict.value for site in report.sites] == ["rewritten", "kept"]


def test_conditional_imports_of_both_kinds(examine: Examine) -> None:
    """Both branches bind the name; both go."""
    text, _ = examine(
        """
        import sys
        if sys.argv:
            from concurrent.futures import ThreadPoolExecutor as Pool
        else:
            from concurrent.futures import ProcessPoolExecutor as Pool
        with Pool() as pool:
            print(list(pool.map(abs, [1])))
        """
    )

    assert text.count("from distexec import") == 2
    assert "concurrent" not in text


def test_syntax_of_3_14_is_read_and_positions_stay_true(examine: Examine) -> None:
    """Nobody should need the newest interpreter to migrate the newest code."""
    text, report = examine(
        """
        import concurrent.futures
        type Pair[T = int] = tuple[T, T]
        class Box[T]: pass
        def work[T](x: T) -> T:
            try:
                return f"{x["ä"]:>{"10"}}" + f"{f"{x!r}"}"
            except KeyError, ValueError:
                return t"{x} {x}"
        with concurrent.futures.ThreadPoolExecutor() as pool: print(f"ä{"ö"}", pool.submit(work, 1))
        """
    )

    assert report.error is None
    assert "with distexec.ThreadPoolExecutor() as pool: print(f" in text
    assert 'return f"{x["ä"]:>{"10"}}" + f"{f"{x!r}"}"' in text


SERVICE = """
from concurrent.futures import ThreadPoolExecutor


class Service:
    def __init__(self):
        self.workers = ThreadPoolExecutor(4)
"""


def test_a_pool_of_an_object_is_followed_to_other_modules(command: Command, tree: Tree) -> None:
    """What another module does with ``service.workers`` counts as if it were done here."""
    use = """
    from app.core import Service

    seen = []

    def note(n):
        {}

    def run(service: Service):
        print(service.workers.submit(note, 1).result())
    """
    tree(
        {
            "app/__init__.py": "",
            "app/core.py": SERVICE,
            "app/use.py": use.format("return n"),
        }
    )

    assert "line 7: rewritten" in command(".").out

    Path("app/use.py").write_text(textwrap.dedent(use.format("seen.append(n)")))
    shown = command(".").out
    assert "line 7: kept" in shown
    assert "DX102 blocks, app/use.py line 7" in shown
