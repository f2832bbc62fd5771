"""Limits that all callers share: the scripts do what the policy says, whatever is in their keys."""

import random
import re
import secrets
from itertools import pairwise
from typing import Any

import pytest

from distexec.scheduling.permits import PATIENCE, Permits, Share, share_out
from distexec.scheduling.rate_limits import (
    HORIZON,
    MICROSECONDS,
    MOST_AHEAD,
    Grants,
    RateState,
    grant,
)
from distexec.store import keys
from distexec.store.lease_port import Parcel
from distexec.store.link import script
from distexec.store.port import ExecutorRef
from security.canary import KINDS, writes

from .worlds import RedisWorld, Ring, World

KEY = "llm-api"


def refs(count: int) -> list[ExecutorRef]:
    return [ExecutorRef(secrets.token_hex(8), str(n)) for n in range(count)]


def test_instants_are_an_interval_apart(world: World) -> None:
    """Two callers, one limit: no two of their calls go together."""
    limits = [world.caller(ref.session).limits for ref in refs(2)]
    found = []
    for n in range(20):
        grants = limits[n % 2].grant(KEY, interval=100_000, asked=3)
        found += [grants.first + k * 100_000 for k in range(grants.calls)]

    assert all(b - a >= 100_000 for a, b in pairwise(found))
    assert limits[0].grant("another", interval=100_000, asked=1).calls == 1


def test_permits_are_limited_and_handed_on(world: World) -> None:
    """The third waits, and is told when it may."""
    first, second = refs(2)
    limits = world.caller(first.session).limits

    assert limits.share_out(KEY, first, limit=2, held=0, wanted=2).granted == 2
    assert limits.share_out(KEY, second, limit=2, held=0, wanted=1) == Permits(0, ())
    told = limits.share_out(KEY, first, limit=2, held=1, wanted=0)
    assert told.next_in_line == (f"{second.session} {second.executor}",)
    assert limits.share_out(KEY, second, limit=2, held=0, wanted=1).granted == 1


def test_a_nudge_ends_a_wait_for_replies(world: World) -> None:
    """It carries nothing, and is no reply; nobody's stream is made by it."""
    ring = Ring(world)
    ring.caller.collect(0.01)
    ring.lease("a").reply(Parcel(b"a reply", []))
    ring.caller.limits.nudge([ring.ref.session, "0123456789abcdef"])

    seen = [*ring.caller.collect(20), *ring.caller.collect(0.01)]
    ring.caller.limits.nudge([ring.ref.session])

    assert seen == [b"a reply"]
    assert ring.caller.collect(20) == []
    if isinstance(world, RedisWorld):
        assert "dx:{0123456789abcdef}:replies" not in world.lifetimes()


def numbers(value: bytes) -> list[int]:
    return [int(part) for part in value.split()]


def test_the_script_grants_what_the_policy_grants(redis: RedisWorld) -> None:
    """The policy is tested by itself, with any clock: here is nothing else."""
    chance = random.Random(1)
    limits, state, last = redis.caller("00").limits, None, (0, 0)
    for _ in range(300):
        interval = chance.choice([1, 1000, 100_000, 60_000_000])
        asked, gives_back = chance.choice([0, 1, 5, 1000]), chance.random() < 0.3
        if chance.random() < 0.1:  # Somebody wrote something else.
            junk = chance.choice([0, 10**18, MOST_AHEAD * interval])
            redis.command("HSET", keys.rate(KEY), "next", junk, "seen", junk // 2)
            state = RateState(junk, junk // 2)
        unused = last if gives_back else (0, 0)

        got = limits.grant(KEY, interval=interval, asked=asked, unused=unused)

        if state is not None and state.next_at <= got.now and state.seen_at <= got.now:
            state = None  # As if nobody had asked, and so it is kept.
        state, expected = grant(state, got.now, interval=interval, asked=asked, unused=unused)
        assert got == expected
        last = (got.first, got.first + got.calls * interval)
        if chance.random() < 0.1:
            redis.command("DEL", keys.rate(KEY))
            state = None


def test_the_script_shares_out_what_the_policy_does(redis: RedisWorld) -> None:
    """Likewise: hundreds of random questions, answered by both."""
    chance = random.Random(2)
    names = [f"{ref.session} {ref.executor}" for ref in refs(4)]
    held = dict.fromkeys(names, 0)
    shares: dict[str, Share] = {}
    expiry = 60 * MICROSECONDS
    for _ in range(500):
        who, limit = chance.choice(names), chance.randint(1, 4)
        held[who] -= chance.randint(0, held[who])
        wanted = chance.choice([0, 0, 1, 2, 5])
        if chance.random() < 0.1:  # One of them fell silent for long.
            name = chance.choice(names)
            shares[name] = Share(chance.randint(0, 2), 1, 1, chance.choice([0, 1]))
            redis.command("HSET", keys.permits(KEY), name, " ".join(map(str, shares[name])))
        arguments = who, limit, held[who], wanted, expiry, PATIENCE
        call = script("permits").call([keys.permits(KEY)], *arguments)
        redis.caller("00").limits.share_out("warm", refs(1)[0], limit=1, held=0, wanted=0)

        now, granted, *others = redis.command(*call)

        question: dict[str, Any] = {"limit": limit, "held": held[who], "wanted": wanted}
        shares, permits = share_out(shares, who, now, **question, expiry=expiry)
        assert Permits(granted, tuple(name.decode() for name in others)) == permits
        held[who] += granted
        fields = redis.command("HGETALL", keys.permits(KEY))
        kept = {n.decode(): numbers(v) for n, v in zip(fields[::2], fields[1::2], strict=True)}
        assert kept == {name: list(share) for name, share in shares.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_what_others_wrote_stops_nobody(redis: RedisWorld, kind: str) -> None:
    """Keys of another type, and junk in ours: put aside, with what limits what they hold back."""
    ref = refs(1)[0]
    limits = redis.caller(ref.session).limits
    for junk in (b"junk", b"-1", b"inf", b"nan", b"1e300", b"9 9 9 9", b"\xff\x00"):
        for key in (keys.rate(KEY), keys.permits(KEY)):
            redis.command("DEL", key)
            for command in writes(key, kind, junk):
                redis.command(*command)
            if kind == "hash":
                redis.command("HSET", key, "next", junk, "seen", junk)

        before = limits.grant(KEY, interval=1000, asked=1)

        assert before.first <= before.now + 1000
        assert limits.share_out(KEY, ref, limit=1, held=0, wanted=1).granted == 1


def test_all_of_it_expires(redis: RedisWorld) -> None:
    """A limit that nobody uses leaves nothing behind; and nothing goes before its time."""
    ref = refs(1)[0]
    limits = redis.caller(ref.session).limits
    limits.grant(KEY, interval=30 * MICROSECONDS, asked=1)
    limits.share_out(KEY, ref, limit=1, held=0, wanted=1)

    times = redis.lifetimes()

    assert 29 < times[keys.rate(KEY)] < 32
    assert 60 < times[keys.permits(KEY)] < 70
    limits.share_out(KEY, ref, limit=1, held=0, wanted=0)
    assert keys.permits(KEY) not in redis.lifetimes()


def test_instants_come_from_the_servers_clock(redis: RedisWorld) -> None:
    """Callers' clocks differ."""
    grants = redis.caller("00").limits.grant(KEY, interval=1000, asked=1)

    seconds, micros = redis.command("TIME")
    assert 0 <= int(seconds) * MICROSECONDS + int(micros) - grants.now < 60 * MICROSECONDS
    assert isinstance(grants, Grants) and grants.now <= grants.first <= grants.now + HORIZON


def test_names_of_others_are_not_spoken_to(redis: RedisWorld) -> None:
    """A field is anybody's to write: it must not become part of another key's name."""
    mine, other = refs(2)
    limits = redis.caller(mine.session).limits
    limits.share_out(KEY, mine, limit=1, held=0, wanted=1)
    for name in ("nodes}:n:commands x", "celery", f"{other.session} 1 2", ""):
        redis.command("HSET", keys.permits(KEY), name, "0 0 1 9999999999999999")

    told = limits.share_out(KEY, mine, limit=1, held=0, wanted=0)

    assert told.next_in_line == ()
    assert not re.search(rb"celery|nodes", b" ".join(redis.command("HGETALL", keys.permits(KEY))))
