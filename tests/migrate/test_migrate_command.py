"""The command line: options, exit codes, formats, writing."""

import io
import json
import os
import pty
import select
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from distexec.migrate.rules import RULES

from .tools import Command, Tree

SAFE = """\
from concurrent.futures import ThreadPoolExecutor


def square(n):
    return n * n


with ThreadPoolExecutor() as pool:
    print(list(pool.map(square, [1, 2])))
"""
WARNED = SAFE.replace("return n * n", "return len(open(n).read())")
BLOCKED = SAFE.replace("def square", "seen = []\n\n\ndef square").replace(
    "return n * n", "seen.append(n)"
)
MOVED = SAFE.replace("concurrent.futures", "distexec")
NOTHING = "print('hello')\n"
BROKEN = "from concurrent.futures import ThreadPoolExecutor\ndef f(:\n"


def test_no_path_is_wrong_use(command: Command) -> None:
    """A forgotten path must not look like success."""
    assert command().code == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["missing.py"],
        ["--force", "DX999", "."],
        ["--explain", "nonsense"],
        ["--write", "--check", "."],
        ["--format", "xml", "."],
        ["--jobs", "0", "."],
        ["-", "other.py"],
        ["--no-such-option"],
        ["--interactive", "-"],
        ["--evidence", "missing.json", "."],
    ],
)
def test_wrong_use_exits_2(command: Command, tree: Tree, arguments: list[str]) -> None:
    """CI scripts tell wrong use from findings by the exit code."""
    tree({"app.py": SAFE})

    result = command(*arguments)

    assert result.code == 2
    assert result.err.startswith("python -m distexec.migrate: ")


@pytest.mark.parametrize(
    ("text", "code"), [(NOTHING, 0), (MOVED, 0), (SAFE, 1), (WARNED, 1), (BLOCKED, 1), (BROKEN, 3)]
)
def test_exit_codes_of_a_dry_run(command: Command, tree: Tree, text: str, code: int) -> None:
    """0 nothing to do, 1 changes or findings, 3 unreadable."""
    tree({"app.py": text})

    assert command("app.py").code == code
    assert command("--check", "app.py").code == code


@pytest.mark.parametrize(("text", "code"), [(SAFE, 0), (WARNED, 1), (BLOCKED, 1), (BROKEN, 3)])
def test_exit_codes_of_writing(command: Command, tree: Tree, text: str, code: int) -> None:
    """What was written is done; what was left alone is not."""
    tree({"app.py": text})

    assert command("--write", "app.py").code == code


def test_a_dry_run_writes_nothing_and_shows_a_diff(command: Command, tree: Tree) -> None:
    """People look before they leap."""
    root = tree({"app.py": SAFE})

    result = command(".")

    assert "-from concurrent.futures import ThreadPoolExecutor\n+from distexec import" in result.out
    assert (root / "app.py").read_text() == SAFE


def test_check_shows_no_diff(command: Command, tree: Tree) -> None:
    """In CI only the report matters."""
    tree({"app.py": SAFE})

    assert "+from distexec" not in command("--check", ".").out


def test_write_applies_and_a_second_run_has_nothing_to_do(command: Command, tree: Tree) -> None:
    """The tool is idempotent in one pass."""
    root = tree({"app.py": SAFE, "pkg/other.py": SAFE})

    assert command("--write", ".").code == 0
    assert (root / "app.py").read_text() == MOVED
    assert (root / "pkg" / "other.py").read_text() == MOVED
    assert command("--check", ".").code == 0


def test_unsafe_rewrites_warnings_and_never_blocks(command: Command, tree: Tree) -> None:
    """--unsafe is for sites that may work, not for those that cannot."""
    root = tree({"warned.py": WARNED, "blocked.py": BLOCKED})

    command("--unsafe", "--write", ".")

    assert "from distexec" in (root / "warned.py").read_text()
    assert (root / "blocked.py").read_text() == BLOCKED


def test_force_rewrites_a_blocked_site(command: Command, tree: Tree) -> None:
    """Whoever knows better may say so, one code at a time."""
    root = tree({"blocked.py": BLOCKED})

    assert command("--force", "DX102", "--write", ".").code == 0
    assert "from distexec" in (root / "blocked.py").read_text()


def test_ignore_hides_but_does_not_make_safe(command: Command, tree: Tree) -> None:
    """Not looking at a danger must not unleash it."""
    root = tree({"blocked.py": BLOCKED})

    result = command("--ignore", "DX102", "--write", ".")

    assert result.code == 0
    assert "DX102" not in result.out
    assert (root / "blocked.py").read_text() == BLOCKED


def test_select_shows_only_what_is_asked_for(command: Command, tree: Tree) -> None:
    """One hazard at a time is how big code bases are cleaned."""
    tree({"a.py": BLOCKED, "b.py": WARNED})

    out = command("--check", "--select", "DX5", ".").out

    assert "DX501" in out
    assert "DX102" not in out


def test_json_is_one_object_with_the_promised_fields(command: Command, tree: Tree) -> None:
    """Programs rely on these names."""
    tree({"a.py": BLOCKED, "b.py": BROKEN, "c.py": SAFE, "d.py": WARNED})

    result = command("--format", "json", ".")

    document = json.loads(result.out)
    assert result.code == 3
    assert {f["path"].rpartition("/")[2]: f["changed"] for f in document["files"]} == {
        "a.py": False,
        "b.py": False,
        "c.py": True,
        "d.py": False,
    }
    assert [bool(f["error"]) for f in document["files"]] == [False, True, False, False]
    assert sorted((s["line"], s["verdict"]) for s in document["sites"]) == [
        (8, "rewritten"),
        (8, "unsafe"),
        (11, "kept"),
    ]
    finding = next(f for f in document["findings"] if f["code"] == "DX102")
    assert finding["severity"] == "blocks"
    assert (finding["line"], finding["column"], finding["site_line"]) == (8, 5, 11)
    assert "seen" in finding["message"]


def test_sarif_names_rules_and_places(command: Command, tree: Tree) -> None:
    """Code scanning services read it."""
    tree({"a.py": BLOCKED})

    run = json.loads(command("--format", "sarif", ".").out)["runs"][0]

    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == ["DX102"]
    assert run["results"][0]["locations"][0]["physicalLocation"]["region"]["startLine"] == 8


def test_github_annotations(command: Command, tree: Tree) -> None:
    """One line for each finding, beside the code in a pull request."""
    tree({"a.py": BLOCKED})

    assert command("--format", "github", "a.py").out.startswith(
        "::error file=a.py,line=8,col=5,title=DX102::"
    )


def test_stdin_shows_a_diff_and_write_prints_the_source(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Editors pipe buffers through the tool."""
    for arguments, wanted in ((["-"], "+from distexec"), (["--write", "-"], MOVED)):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(SAFE.encode())))
        assert wanted in command(*arguments).out


def test_every_rule_has_a_page(command: Command) -> None:
    """A code without an explanation teaches nothing."""
    listing = command("--list-rules").out
    for code, rule in RULES.items():
        assert code in listing
        text = command("--explain", code).out
        assert rule.name in text
        assert "Instead of" in text
        assert "write" in text


def test_links_and_permissions_are_kept(command: Command, tree: Tree) -> None:
    """A rewrite changes what is in a file, and nothing else about it."""
    root = tree({"real.py": SAFE})
    (root / "real.py").chmod(0o750)
    (root / "link.py").symlink_to("real.py")

    command("--write", "link.py")

    assert (root / "link.py").is_symlink()
    assert (root / "real.py").read_text() == MOVED
    assert stat.S_IMODE((root / "real.py").stat().st_mode) == 0o750


def test_bytes_around_the_change_are_kept(command: Command, tree: Tree) -> None:
    """BOM, CRLF, tabs, form feeds, encodings and a missing last newline are somebody's choice."""
    root = tree({})
    body = SAFE.replace("    return", "\treturn").replace("\n\n\nwith", "\n\f\nwith").rstrip("\n")
    files = {
        "bom.py": b"\xef\xbb\xbf" + body.replace("\n", "\r\n").encode(),
        "latin.py": b"# -*- coding: latin-1 -*-\n# \xe4\xf6\n" + body.encode(),
    }
    for name, raw in files.items():
        (root / name).write_bytes(raw)

    assert command("--write", ".").code == 0
    for name, raw in files.items():
        assert (root / name).read_bytes() == raw.replace(b"concurrent.futures", b"distexec")
    assert command("--revert", "--write", ".").code == 0
    for name, raw in files.items():
        assert (root / name).read_bytes() == raw


@pytest.mark.skipif(
    os.geteuid() == 0 if hasattr(os, "geteuid") else True, reason="root may write anything"
)
def test_one_unwritable_file_stops_all(command: Command, tree: Tree) -> None:
    """A half-written tree is the worst outcome."""
    root = tree({"a.py": SAFE, "b.py": SAFE})
    (root / "b.py").chmod(0o444)

    assert command("--write", ".").code == 3
    assert (root / "a.py").read_text() == SAFE


def test_a_failing_disk_leaves_everything_as_it_was(
    command: Command, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second rename fails after the first went through: both files are as before."""
    root = tree({"a.py": SAFE, "b.py": SAFE})
    replace, calls = os.replace, []

    def failing(source: str, target: str) -> None:
        calls.append(target)
        if len(calls) == 2:
            raise OSError(28, "No space left on device", target)
        replace(source, target)

    monkeypatch.setattr(os, "replace", failing)

    result = command("--write", ".")

    assert result.code == 3
    assert "nothing was written" in result.out
    assert sorted(os.listdir(root)) == ["a.py", "b.py"]
    assert {(root / name).read_text() for name in ("a.py", "b.py")} == {SAFE}


def test_ignored_vendored_and_generated_files_are_left_out(command: Command, tree: Tree) -> None:
    """Other people's code and machine-made code are not ours to change."""
    tree(
        {
            ".gitignore": "build/\n*_old.py\n!keep_old.py\n",
            "build/a.py": SAFE,
            "x_old.py": SAFE,
            "keep_old.py": SAFE,
            "_vendor/a.py": SAFE,
            "node_modules/a.py": SAFE,
            "made_pb2.py": SAFE,
            "made.py": "# @generated by a tool\n" + SAFE,
        }
    )

    result = command("--check", ".")

    assert "1 call site: 1 rewritten" in result.out
    assert "left out: 2 generated, 2 ignored, 2 vendored" in result.out


def test_settings_come_from_pyproject(command: Command, tree: Tree) -> None:
    """A project says once what it wants."""
    root = tree(
        {
            "pyproject.toml": '[tool.distexec.migrate]\nunsafe = true\nexclude = ["skipped"]\n',
            "app.py": WARNED,
            "skipped/app.py": SAFE,
        }
    )

    assert command("--write", ".").code == 0
    assert "from distexec" in (root / "app.py").read_text()
    assert (root / "skipped" / "app.py").read_text() == SAFE


@pytest.mark.parametrize(
    "line", ["colour = true", "unsafe = 3", 'select = "DX1"', 'force = ["DX999"]', "= ["]
)
def test_bad_settings_are_wrong_use(command: Command, tree: Tree, line: str) -> None:
    """A typing error in the configuration must not be ignored."""
    tree({"pyproject.toml": f"[tool.distexec.migrate]\n{line}\n", "app.py": SAFE})

    assert command(".").code == 2


def test_many_files_go_through_processes(command: Command, tree: Tree) -> None:
    """The parallel way finds the same as the plain one."""
    tree({f"pkg/m{n}.py": SAFE if n % 2 else BLOCKED for n in range(60)})

    alone = json.loads(command("--format", "json", "--jobs", "1", ".").out)
    together = json.loads(command("--format", "json", "--jobs", "2", ".").out)

    assert alone == together
    assert len(alone["sites"]) == 60


def test_interactive_asks_site_by_site(
    command: Command, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    """y rewrites even a blocked site, n keeps a safe one, e explains."""
    root = tree({"a.py": BLOCKED, "b.py": SAFE})
    monkeypatch.setattr(sys, "stdin", io.StringIO("e\ny\nn\n"))

    result = command("--interactive", "--write", ".")

    assert "from distexec" in (root / "a.py").read_text()
    assert (root / "b.py").read_text() == SAFE
    assert "DX102 global-write" in result.err


def test_interactive_works_on_a_terminal(tree: Tree) -> None:
    """That is where people answer; Ctrl-C there leaves everything as it was."""
    root = tree({"a.py": BLOCKED, "b.py": SAFE})

    code, shown = on_terminal("--interactive", "--write", ".", keys=[b"n\n", b"\x03"])

    assert (code, shown.count("Rewrite this pool?")) == (130, 2)
    assert "nothing was left half written" in shown
    assert ((root / "a.py").read_text(), (root / "b.py").read_text()) == (BLOCKED, SAFE)

    code, shown = on_terminal("--interactive", "--write", ".", keys=[b"?\n", b"n\n", b"y\n"])

    assert (code, shown.count("Rewrite this pool?")) == (1, 3)
    assert ((root / "a.py").read_text(), (root / "b.py").read_text()) == (BLOCKED, MOVED)


def on_terminal(*arguments: str, keys: list[bytes]) -> tuple[int, str]:
    """Run the command on a pseudo-terminal of its own, typing *keys* at its prompts."""
    terminal, inner = pty.openpty()
    command = [sys.executable, "-c", ON_TERMINAL, "-m", "distexec.migrate", *arguments]
    process = subprocess.Popen(
        command,
        stdin=inner,
        stdout=inner,
        stderr=inner,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    os.close(inner)
    shown = b""
    try:
        while select.select([terminal], [], [], 60)[0]:
            try:
                shown += os.read(terminal, 4096)
            except OSError:  # how Linux says that the other end is closed
                break
            if shown.endswith(b"?] ") and keys:
                os.write(terminal, keys.pop(0))
        return process.wait(60), shown.decode()
    finally:
        process.kill()
        os.close(terminal)


#: Makes its terminal the one whose Ctrl-C it gets, and goes on as another program.
ON_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


@pytest.mark.parametrize("body", ["(" * 3000 + ")" * 3000, "+".join("1" * 20_000)])
def test_what_is_too_deep_is_named_and_left(body: str, command: Command, tree: Tree) -> None:
    """Native parsers overflow their stack on such files, and take the process along."""
    tree({"deep.py": f"import concurrent.futures\nx = {body}\n", "b.py": SAFE})

    result = command("--write", ".")

    assert result.code == 3
    assert "cannot parse" in result.out
    assert Path("b.py").read_text() == MOVED


def test_the_path_may_be_a_folder_with_odd_names(command: Command, tree: Tree) -> None:
    """Spaces and letters of all kinds occur in paths."""
    root = tree({"söme dir/größe.py": SAFE})

    assert command("--write", str(root)).code == 0
    assert Path(root, "söme dir", "größe.py").read_text("utf-8") == MOVED


def test_the_main_command_has_it_too(tree: Tree, capsys: pytest.CaptureFixture[str]) -> None:
    """``distexec migrate`` is what people will guess."""
    from distexec.cli import main as distexec

    tree({"app.py": SAFE})

    with pytest.raises(SystemExit) as end:
        distexec(["migrate", "--check", "--no-progress", "app.py"])

    assert end.value.code == 1
    assert "1 call site: 1 rewritten" in capsys.readouterr().out
