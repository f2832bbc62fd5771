"""Rows 12 and 27: the connection breaks at a command, for every command that there is.

What other tests leave to luck is enumerated here: each command of a small run is a point at which
the connection is lost, before the server hears of it, after it has done it, or amid its answer.
"""

import contextlib
from collections import Counter
from collections.abc import Callable

import pytest

import distexec
from conftest import eventually

from .proxy import Meanness, Proxy
from .rig import Rig
from .trial import Trial

MakeTrial = Callable[[str], Trial]

#: What is said by the clock, whether or not there are calls.
BY_THE_CLOCK = (b":record", b":commands", b":names")


#: Ways in which a connection breaks at a command.
BREAKS = (Meanness.UNSENT, Meanness.UNANSWERED, Meanness.HALF_ANSWERED, Meanness.OUTAGE)


class KthCommand:
    """Counts the commands about calls, and is mean to the k-th."""

    def __init__(self, k: int = 0, meanness: Meanness | None = None) -> None:
        self._k, self.meanness = k, meanness
        self.seen = 0
        #: The words of the one that was hit.
        self.hit: list[bytes] = []

    def __call__(self, command: list[bytes]) -> Meanness | None:
        about = [word for word in command if word.startswith(b"dx:")]
        if not about or any(word.endswith(BY_THE_CLOCK) for word in about):
            return None
        self.seen += 1
        if self.seen != self._k:
            return None
        self.hit = command[:4]
        return self.meanness


def three_calls(rig: Rig, tried: Trial, rule: KthCommand, proxy: Proxy, side: str) -> None:
    """A whole executor's life, with three calls, while *rule* watches one side's commands."""
    proxy.rule = rule
    caller, queue = (proxy, "distexec") if side == "caller" else (None, "watched")
    before, known = tried.ledger.read().starts.total(), len(tried.futures)
    with rig.processes(2, via=caller, queue=queue) as executor:
        # Who is cut off while an executor opens is told so at once, by the first submit.
        with contextlib.suppress(distexec.ClusterUnavailable):
            tried.submit(executor, 3, 0.01)
        try:
            verdict = tried.verdict(within=20, is_last=False)
        except AssertionError as error:
            raise AssertionError(f"command {rule.seen}, {rule.hit}: {error}") from error
        submitted = len(tried.futures) - known
        assert submitted == 3 or rule.meanness is Meanness.OUTAGE
        assert verdict.starts - before == submitted, f"{rule.hit} made a call start again"
    tried.hits += bool(rule.hit)
    proxy.rule = None
    eventually(lambda: not proxy.refuses)


@pytest.mark.parametrize("step", [4, pytest.param(1, marks=pytest.mark.full)])
@pytest.mark.parametrize("side", ["caller", "lease"])
def test_row_27_the_kth_command_fails(rig: Rig, trial: MakeTrial, side: str, step: int) -> None:
    """For every k: no call is lost, and none runs twice, since each verb may be repeated."""
    tried = trial(f"27 {side}")
    with rig.proxy() as proxy:
        if side == "lease":
            rig.start_nodes("watched", queue="watched", slots=2, url=rig.url(proxy))
        three_calls(rig, tried, KthCommand(), proxy, side)  # The first ones also start the leases.
        counting = KthCommand()
        three_calls(rig, tried, counting, proxy, side)
        for k in range(1, counting.seen + 1):
            # A step of four takes them in turns; the whole matrix has each at each command.
            for meanness in BREAKS if step == 1 else [BREAKS[k % 4]]:
                three_calls(rig, tried, KthCommand(k, meanness), proxy, side)

        verdict = tried.verdict(within=1)
    assert counting.seen > 10 and verdict.hits >= 0.7 * counting.seen
    assert verdict.extra == 0


class EachKind:
    """Is mean to some commands of each kind, a script being a kind, and counts them."""

    #: Of each kind: which occurrences are met at the earliest, and how.
    HITS = ((2, Meanness.UNANSWERED), (6, Meanness.HALF_ANSWERED), (10, Meanness.UNSENT))

    #: What a new connection begins with: losing that as well would be an outage.
    GREETINGS = (b"AUTH", b"HELLO", b"CLIENT", b"SELECT", b"INFO", b"PING")

    #: Commands that pass between two hits, so that what is repeated comes through.
    PAUSE = 10

    def __init__(self) -> None:
        self._seen: Counter[tuple[bytes, ...]] = Counter()
        self._passed = 0
        self.hit: Counter[tuple[bytes, ...]] = Counter()

    def __call__(self, command: list[bytes]) -> Meanness | None:
        self._passed += 1
        if command[0] in self.GREETINGS:
            return None
        kind = tuple(command[:2]) if command[0] == b"EVALSHA" else tuple(command[:1])
        self._seen[kind] += 1
        hits = self.hit[kind]
        if hits == len(self.HITS) or self._passed < self.PAUSE:
            return None
        earliest, meanness = self.HITS[hits]
        if self._seen[kind] < earliest:
            return None
        self._passed = 0
        self.hit[kind] += 1
        return meanness


@pytest.mark.parametrize("calls", [60, pytest.param(1000, marks=pytest.mark.full)])
def test_row_12_answers_are_lost(rig: Rig, trial: MakeTrial, calls: int) -> None:
    """What was done and not heard of is done again, and has happened once: calls and wake-ups."""
    tried, rule = trial("12"), EachKind()
    with rig.proxy() as proxy:
        rig.start_nodes("watched", queue="watched", slots=2, url=rig.url(proxy))
        with rig.processes(2, via=proxy, queue="watched") as executor:
            tried.submit(executor, 1)
            tried.ended(1)
            proxy.rule = rule
            limited = executor.options(rate_limit="200/s", max_concurrency=2)
            tried.submit(executor, calls // 2, 0.02)
            tried.submit(limited, calls // 2, 0.02)
            tried.ended(calls + 1)
            tried.hits = rule.hit.total()
            verdict = tried.verdict(within=20)
            proxy.rule = None
    assert verdict.hits >= 15 and len(rule.hit) >= 8, rule.hit
    assert verdict.extra == 0


#: Bytes of the longest word of a command that carries a sealed frame.
FRAME_BYTES = 80


@pytest.mark.parametrize("calls", [60, pytest.param(300, marks=pytest.mark.full)])
def test_flipped_bits(rig: Rig, trial: MakeTrial, calls: int) -> None:
    """A frame that was changed on its way is refused; what it carried is missed, and sent again."""
    tried = trial("bits")
    met: Counter[bytes] = Counter()

    def rule(command: list[bytes]) -> Meanness | None:
        if max(map(len, command)) < FRAME_BYTES or command[0] not in (b"XADD", b"EVALSHA"):
            return None
        met[command[0]] += 1
        return Meanness.FLIPPED if met[command[0]] % 10 == 5 else None

    with rig.proxy() as proxy:
        rig.start_nodes("watched", queue="watched", slots=2, url=rig.url(proxy))
        with rig.processes(2, via=proxy, queue="watched") as executor:
            tried.submit(executor, 1)
            tried.ended(1)
            proxy.rule = rule
            tried.submit(executor, calls, 0.01)
            tried.ended(calls + 1, timeout=100)
            tried.hits = sum(count // 10 for count in met.values())
            proxy.rule = None

            verdict = tried.verdict(within=30)
            assert executor.statistics().refused >= 1
    assert verdict.hits >= 6
    assert verdict.extra <= verdict.hits
