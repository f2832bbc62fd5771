"""A caller of its own: submits calls that share limits with those of other callers."""

import json
import sys
from typing import Any

import distexec
from cluster import deeds
from conftest import eventually
from distexec.store.redis_limits import RedisLimitStore
from properties import calls

#: The instants that this process was given, by the server's clock, in microseconds.
granted: list[int] = []


def record_grants() -> None:
    """Write down each instant that the server gives, and take those out that go back."""
    ask = RedisLimitStore.grant

    def recorded(
        self: RedisLimitStore, key: str, *, interval: int, unused: tuple[int, int], **rest: Any
    ) -> Any:
        grants = ask(self, key, interval=interval, unused=unused, **rest)
        granted[:] = [at for at in granted if not unused[0] <= at < unused[1]]
        granted.extend(grants.first + n * interval for n in range(grants.calls))
        return grants

    RedisLimitStore.grant = recorded  # type: ignore[method-assign,assignment]


def share(url: str, folder: str, ledger: str, count: str) -> None:
    """When the others are there: *count* calls of 50/s, then as many of which two run together."""
    record_grants()
    with distexec.ProcessPoolExecutor(6, cluster=url) as executor:
        executor.submit(calls.nothing).result(timeout=60)
        calls.meet(folder, calls.pid(), 4)
        limited = executor.options(rate_limit="50/s", rate_key="llm-api")
        futures = [limited.submit(deeds.where) for _ in range(int(count))]
        nodes = {future.result(timeout=60) for future in futures}

        few = executor.options(max_concurrency=2, key="database")
        futures = [few.submit(calls.enter_and_leave, ledger, 0.01) for _ in range(int(count))]
        done = [future.result(timeout=60) for future in futures]
    print(json.dumps({"granted": granted, "nodes": sorted(nodes), "done": len(done)}))


def hold(url: str, ledger: str, gate: str) -> None:
    """Hold the only permit until killed."""
    with distexec.ProcessPoolExecutor(2, cluster=url) as executor:
        view = executor.options(max_concurrency=1, key="single")
        futures = [view.submit(deeds.hold_noted, ledger, gate) for _ in range(3)]
        eventually(lambda: calls.read_ledger(ledger), 60)
        print("holds", flush=True)
        futures[0].result(timeout=60)


if __name__ == "__main__":
    {"share": share, "hold": hold}[sys.argv[1]](*sys.argv[2:])
