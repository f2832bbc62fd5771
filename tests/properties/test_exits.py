"""Properties 18 and 19: how programs end, and what Ctrl-C does to them."""

import os
import pty
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from conftest import eventually

from . import calls, scripts
from .worlds import EMBEDDED, OURS, World, on

# 18. Interpreter exit -------------------------------------------------------------------------

_PENDING = """
executor = make(2)
for number in range(20):
    executor.submit(calls.noted, ledger, number, 0.01)
{end}
"""


@pytest.mark.parametrize(
    ("end", "code"), [("", 0), ("sys.exit(7)", 7), ("del executor", 0)], ids=["end", "exit", "del"]
)
@on("stdlib-threads", *OURS)
def test_pending_work_completes_before_the_interpreter_ends(
    world: World, tmp_path: Path, end: str, code: int
) -> None:
    """A script that submits and falls off its end has done its work, without a word."""
    assert scripts.run(world.name, _PENDING.format(end=end), tmp_path) == (code, "", "")
    assert sorted(map(int, calls.read_ledger(tmp_path / "ledger"))) == list(range(20))


@on("stdlib-threads", *OURS)
def test_pending_work_completes_although_the_program_fails(world: World, tmp_path: Path) -> None:
    """The only traceback is the program's own."""
    body = _PENDING.format(end="raise LookupError('its own')")

    code, output, errors = scripts.run(world.name, body, tmp_path)

    assert (code, output) == (1, "")
    assert errors.count("Traceback") == 1 and errors.endswith("LookupError: its own\n")
    assert sorted(map(int, calls.read_ledger(tmp_path / "ledger"))) == list(range(20))


@on("stdlib-threads", *OURS)
def test_submit_at_interpreter_exit_is_refused(world: World, tmp_path: Path) -> None:
    """By the words of the standard library: logging and monitoring libraries look for them."""
    body = """
used, unused = make(2), make(2)
used.submit(calls.nothing).result(timeout=20)
def late():
    for executor in used, unused:
        try:
            executor.submit(calls.nothing)
        except RuntimeError as error:
            print(type(error).__name__, error)
atexit.register(late)
"""

    code, output, errors = scripts.run(world.name, body, tmp_path)

    assert (code, errors) == (0, "")
    refusal = "RuntimeError cannot schedule new futures after interpreter shutdown"
    assert len(output.splitlines()) == 2
    # A standard pool's idle thread may have closed its executor by then, which is another text.
    assert output.splitlines()[0 if world.ours else 1 :] == [refusal] * (2 if world.ours else 1)


@pytest.mark.parametrize(
    ("end", "code"),
    [
        ("os._exit(3)", 3),
        ("os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM),
        ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        ("calls.touch(gate)", 0),
        ("calls.touch(gate); sys.exit(4)", 4),
    ],
    ids=["_exit", "SIGTERM", "SIGKILL", "end", "exit"],
)
@on("embedded")
def test_nothing_outlives_the_program(world: World, tmp_path: Path, end: str, code: int) -> None:
    """A server and workers that stay behind are found weeks later, by somebody else."""
    body = f"""
executor = make(2)
executor.submit(calls.nothing).result(timeout=20)
executor.submit(calls.wait_for, gate, None, ledger)
while not calls.read_ledger(ledger):
    time.sleep(0.005)
print("busy", flush=True)
sys.stdin.readline()
{end}
"""
    (tmp_path / "tmp").mkdir()
    # A socket's path must be short: the folder is reached by another name.
    temporary = Path("/tmp", f"dx-{os.getpid()}-{time.monotonic_ns() % 10**6}")
    temporary.symlink_to(tmp_path / "tmp")
    reading, writing = os.pipe()

    with ExitStack() as ending:
        ending.callback(temporary.unlink)
        program = ending.enter_context(
            scripts.Program(
                world.name, body, tmp_path, stdin=reading, environment={"TMPDIR": str(temporary)}
            )
        )
        os.close(reading)
        assert program.line() == "busy"
        assert len(program.survivors()) >= 3, "the program, a server and a worker"
        os.write(writing, b"\n")
        os.close(writing)
        ended, _, errors = program.finish()

        assert (ended, errors) == (code, "")
        eventually(lambda: program.survivors() == [], timeout=8)
        eventually(lambda: os.listdir(tmp_path / "tmp") == [], timeout=2)


# 19. KeyboardInterrupt ------------------------------------------------------------------------

_ANNOUNCE = """
def announce(place):
    # Says so when the main thread has come to rest: what is interrupted then is its waiting.
    def watch():
        main, resting, last = threading.main_thread().ident, 0, None
        while resting < 10:
            frame = sys._current_frames()[main]
            now = frame, frame.f_lasti
            elsewhere = "program" not in frame.f_code.co_filename
            resting = resting + 1 if now == last and elsewhere else 0
            last = now
            del frame
            time.sleep(0.005)
        print(place, flush=True)
    threading.Thread(target=watch, daemon=True).start()
"""

_INTERRUPTED = (
    "try: fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # Ctrl-C goes to the terminal's foreground\n"
    "except OSError: pass\n"
    + _ANNOUNCE
    + """
executor = make(4)
executor.submit(calls.nothing).result(timeout=20)
places = {
    "result": lambda futures, path: futures[0].result(),
    "wait": lambda futures, path: wait(futures),
    "map": lambda futures, path: list(executor.map(calls.wait_for, [path])),
}
for place, block in places.items():
    futures = [executor.submit(calls.wait_for, gate + place, "value", ledger)]
    try:
        announce(place)
        block(futures, gate + place)
        print("not interrupted")
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    assert executor.submit(calls.square, 3).result(timeout=20) == 9
    calls.touch(gate + place)
    assert futures[0].result(timeout=20) == "value"
try:
    with make(1) as last:
        future = last.submit(calls.wait_for, gate + "with", "value", ledger)
        announce("with")
    print("not interrupted")
except KeyboardInterrupt:
    print("interrupted", flush=True)
calls.touch(gate + "with")
assert future.result(timeout=20) == "value"
print("executor well", flush=True)
"""
)


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """Both ends of a terminal of the test's own."""
    ours, theirs = pty.openpty()
    yield ours, theirs
    os.close(ours)
    os.close(theirs)


@pytest.mark.parametrize("way", ["process", "terminal"])
@on("stdlib-threads", "twin", "embedded")
def test_interrupt_reaches_the_user_at_once_and_nobody_else(
    world: World, tmp_path: Path, terminal: tuple[int, int], way: str
) -> None:
    """Ctrl-C belongs to the program: it gets it within a second, wherever it waits.

    From a terminal the signal goes to every process of the group: the workers must not die of it,
    or the interrupted program would find its calls repeated or its executor broken.
    """
    ours, theirs = terminal
    with scripts.Program(
        world.name, _INTERRUPTED, tmp_path, stdin=theirs, new_session=True
    ) as program:
        for place in ("result", "wait", "map", "with"):
            assert program.line() == place
            began = time.monotonic()
            if way == "terminal":
                os.write(ours, b"\x03")
            else:
                program.process.send_signal(signal.SIGINT)
            assert program.line() == "interrupted"
            assert time.monotonic() - began < 1.0

        assert program.line() == "executor well"
        assert program.finish() == (0, "", "")

    # Each once: none was killed and repeated.
    assert calls.read_ledger(tmp_path / "ledger") == ["value"] * 4


@on(*EMBEDDED)
def test_interrupted_group_leaves_the_workers_alone(world: World, tmp_path: Path) -> None:
    """``timeout -s INT`` and process managers signal a group without having a terminal."""
    body = """
executor = make(1)
before = executor.submit(calls.pid).result(timeout=20)
try:
    print("ready", flush=True)
    executor.submit(calls.wait_for, gate, None, ledger).result()
except KeyboardInterrupt:
    pass
calls.touch(gate)
print(executor.submit(calls.pid).result(timeout=20) == before)
"""
    with scripts.Program(world.name, body, tmp_path, new_session=True) as program:
        assert program.line() == "ready"
        eventually(lambda: calls.read_ledger(tmp_path / "ledger"))
        os.killpg(program.process.pid, signal.SIGINT)

        assert program.finish() == (0, "True\n", "")
