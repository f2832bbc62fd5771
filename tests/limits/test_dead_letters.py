"""`options(dead_letter=True)`: what was given up waits on the server for a person."""

import gc
import os
import secrets

import numpy
import pytest

import distexec
from conftest import eventually
from distexec.cli import main
from distexec.settings import Settings
from distexec.store.memory import MemoryServer
from distexec.store.memory_caller import MemoryCallerStore
from properties import calls
from ring.test_workers import operator

from . import deeds
from .conftest import Gate


@pytest.fixture(autouse=True)
def no_letters(two_slots: distexec.LocalCluster) -> None:
    """Each test begins without."""
    for cluster in (two_slots, "threads"):
        for letter in distexec.dead_letters(cluster):
            letter.drop()


@pytest.fixture(params=["processes", "threads"])
def cluster(
    request: pytest.FixtureRequest, two_slots: distexec.LocalCluster
) -> distexec.LocalCluster | str:
    return two_slots if request.param == "processes" else "threads"


def test_a_call_that_used_up_its_retries_is_kept(
    cluster: distexec.LocalCluster | str, gate: Gate, ledger: str
) -> None:
    """With its error and each attempt; and it runs again when the reason is gone."""
    with distexec.DistributedExecutor(1, cluster=cluster) as executor:
        view = executor.options(retries=1, backoff=0.01, dead_letter=True, name="total")
        failed = view.submit(deeds.total, ledger, gate.path, [1, 2]).exception(timeout=25)
    (letter,) = distexec.dead_letters(cluster)

    assert failed is not None and any(letter.id in note for note in failed.__notes__)
    assert (letter.label, letter.attempts, len(letter.history)) == ("total", 2, 2)
    assert "bank is closed" in letter.error and str(os.getpid()) in letter.caller
    assert letter.done() and isinstance(letter.exception(), ConnectionError)
    with pytest.raises(ConnectionError, match="closed"):
        letter.result()

    again = letter.retry()
    assert isinstance(again.exception(timeout=25), ConnectionError)
    (letter,) = distexec.dead_letters(cluster)
    assert letter.attempts == 3

    gate.open()
    assert letter.retry().result(timeout=25) == 3
    eventually(lambda: distexec.dead_letters(cluster) == [])
    assert len(calls.read_ledger(ledger)) == 4
    with pytest.raises(distexec.LetterGone):
        letter.retry()
    assert not letter.drop()


def test_poison_is_kept(two_slots: distexec.LocalCluster, gate: Gate) -> None:
    """What kills its workers is what a person must look at."""
    with distexec.DistributedExecutor(1, cluster=two_slots) as executor:
        view = executor.options(dead_letter=True)
        assert isinstance(
            view.submit(deeds.die_unless, gate.path).exception(timeout=25), distexec.WorkerLost
        )
        (letter,) = distexec.dead_letters(two_slots)
        assert "SIGKILL" in letter.history[0] and "die_unless" in repr(letter)

        gate.open()
        assert letter.retry(executor).result(timeout=25) == "alive"


def test_large_arguments_are_kept_with_it(
    two_slots: distexec.LocalCluster, gate: Gate, ledger: str
) -> None:
    """They travel beside the call, and would go with their caller."""
    numbers = numpy.ones(300_000)
    with distexec.DistributedExecutor(1, cluster=two_slots) as executor:
        handle = executor.put(numbers)
        view = executor.options(dead_letter=True)
        for value in (numbers, handle):
            assert view.submit(deeds.total, ledger, gate.path, value).exception(timeout=25)
    gate.open()

    letters = distexec.dead_letters(two_slots)

    assert [letter.retry().result(timeout=25) for letter in letters] == [300_000] * 2


def test_only_what_asks_for_it_is_kept(
    executor: distexec.DistributedExecutor, two_slots: distexec.LocalCluster
) -> None:
    """Arguments may be private: they stay nowhere unless somebody says so."""
    assert executor.submit(calls.throw, KeyError()).exception(timeout=25)
    view = executor.options(dead_letter=True)
    assert view.submit(calls.square, 2).result(timeout=25) == 4
    resting = view.options(retries=1, backoff=1000).submit(calls.throw, OSError())
    eventually(lambda: executor.statistics().resting == 1)
    assert resting.cancel()

    assert distexec.dead_letters(two_slots) == distexec.dead_letters("threads") == []


def test_looking_unpickles_nothing_and_foreign_letters_are_put_aside(
    two_slots: distexec.LocalCluster, ledger: str
) -> None:
    """A list is for any program; what was not signed is for none."""
    with distexec.DistributedExecutor(1, cluster=two_slots) as executor:
        view = executor.options(dead_letter=True)
        future = view.submit(deeds.raise_after, deeds.Canary(ledger))
        assert isinstance(future.exception(timeout=25), KeyError)
        sung = calls.read_ledger(ledger)
        (letter,) = distexec.dead_letters(two_slots)
        with operator(two_slots) as link:
            frame = bytearray(link.call("HGET", "dx:{letters}:calls", letter.id))
            frame[-40] ^= 1
            link.call("HSET", "dx:{letters}:calls", letter.id, bytes(frame))
            note = link.call("HGET", "dx:{letters}:notes", letter.id)
            link.call("HSET", "dx:{letters}:notes", "forged", note)
            link.call("ZADD", "dx:{letters}:times", 2**40, "forged")

        assert [each.id for each in distexec.dead_letters(two_slots)] == [letter.id]
        for action in (letter.exception, letter.retry):
            with pytest.raises(distexec.FrameRejected):
                action()
        with operator(two_slots) as link:
            link.call("DEL", "dx:{letters}:times", "dx:{letters}:notes", "dx:{letters}:calls")
    assert calls.read_ledger(ledger) == sung


@pytest.mark.parametrize("kind", ["memory", "redis"])
def test_letters_are_bounded(kind: str, two_slots: distexec.LocalCluster) -> None:
    """A job that fails all night must not fill the server: the oldest go."""
    from distexec.store.connect import open_caller_store

    settings = Settings(most_dead_letters=3, dead_letters_bytes=100)
    if kind == "memory":
        store = MemoryCallerStore(MemoryServer(settings), "s")
    else:
        store = open_caller_store(two_slots.endpoint, secrets.token_hex(4), settings)
    letters = store.letters

    for name in "abcd":
        letters.keep(name, b"note", b"x" * 20)
    assert [each.letter for each in letters.letters()] == ["b", "c", "d"]
    letters.keep("e", b"note", b"x" * 70)
    assert [each.letter for each in letters.letters()] == ["d", "e"]
    letters.keep("f", b"note", b"x" * 1000)
    assert [each.letter for each in letters.letters()] == ["f"]
    assert letters.drop(["f", "gone"]) == 1
    store.close()


def test_the_command(
    two_slots: distexec.LocalCluster,
    gate: Gate,
    ledger: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A person on call has a terminal."""
    monkeypatch.setenv("DISTEXEC_URL", two_slots.url)

    def dead(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["dead", *arguments])
        gc.collect()  # Its letters hold an executor.
        return int(ended.value.code or 0), *capsys.readouterr()

    with distexec.DistributedExecutor(1, cluster=two_slots) as executor:
        view = executor.options(dead_letter=True)
        for n in range(2):
            view.submit(deeds.total, ledger, gate.path, [n]).exception(timeout=25)
    first, second = (letter.id for letter in distexec.dead_letters(two_slots))

    code, listed, _ = dead("list")
    assert code == 0 and first in listed and second in listed and "bank is closed" in listed
    _, shown, _ = dead("show", first)
    assert "attempt 1: ConnectionError" in shown and second not in shown
    code, _, complaint = dead("retry", first, "--timeout", "30")
    assert code == 1 and "bank is closed" in complaint
    gate.open()
    assert dead("retry", first) == (0, f"{first}: returned\n", "")
    assert dead("drop", "--all") == (0, f"{second}: removed\n", "")
    assert distexec.dead_letters(two_slots) == []
    code, _, complaint = dead("show", first)
    assert code == 1 and first in complaint
    assert dead("drop")[0] == 2
