"""A cluster's report as text."""

from collections.abc import Sequence

from distexec.monitor.report import ClusterReport, NodeReport

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def render(report: ClusterReport, width: int | None = None) -> str:
    """The whole report: the server, then a table each for nodes, queues and executors.

    Args:
        width: Columns after which lines are cut; ``None`` cuts nothing.
    """
    limit = f" of {size(report.memory_limit)}" if report.memory_limit else ""
    lines = [
        f"{report.server}, {size(report.memory_used)}{limit} used, {report.clients} clients, "
        f"{report.commands_per_second:,} commands/s",
        "",
        *_table(
            (
                *("NODE", "STATE", "QUEUES", "BUSY", "CALLS/S", "P50", "P95"),
                *("CPU", "MEMORY", "FREE", "PYTHON", "SEEN"),
            ),
            [_node_row(node) for node in report.nodes],
            "no node answers: start one with `distexec worker`",
        ),
        *(f"  {node.name}: {node.problem}" for node in report.nodes if node.problem),
        "",
        *_table(
            ("QUEUE", "CALLS", "NODES", "SLOTS", "FREE", "EXECUTORS", "WANTED", "LEASES"),
            [
                (
                    queue.name,
                    f"{queue.depth:,}",
                    str(queue.nodes),
                    str(queue.slots),
                    str(queue.free),
                    str(queue.executors),
                    str(queue.wanted),
                    str(queue.leases),
                )
                for queue in report.queues
            ],
            "no queue is served",
        ),
        "",
        *_table(
            ("EXECUTOR", "CALLER", "QUEUE", "CALLS", "WANTED", "LEASES", "LIMIT"),
            [
                (
                    executor.name or f"{executor.session}/{executor.executor}",
                    executor.caller or executor.session,
                    executor.queue,
                    f"{executor.outstanding:,}",
                    str(executor.wanted),
                    str(executor.leases),
                    str(executor.limit),
                )
                for executor in report.executors
            ],
            "no executor has work",
        ),
        *(["", *report.problems] if report.problems else []),
    ]
    return "\n".join(line if width is None else line[:width] for line in lines)


def size(count: float) -> str:
    """Bytes with a unit, in three digits or so."""
    for unit in _UNITS:
        if count < 1000 or unit == _UNITS[-1]:
            break
        count /= 1024
    return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"


def count(number: float) -> str:
    """A number in three digits or so."""
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def duration(seconds: float) -> str:
    """Seconds with a unit, in two digits or so."""
    unit, number = "s", seconds
    if seconds < 1:
        unit, number = ("ms", seconds * 1e3) if seconds >= 1e-3 else ("us", seconds * 1e6)
    return f"{number:,.0f} {unit}" if number >= 10 else f"{number:.2g} {unit}"


def _node_row(node: NodeReport) -> tuple[str, ...]:
    load = node.load
    return (
        node.name,
        node.state,
        ",".join(node.queues),
        f"{node.busy}/{node.slots}",
        "" if node.calls_per_second is None else count(node.calls_per_second),
        "" if node.run_p50 is None else duration(node.run_p50),
        "" if node.run_p95 is None else duration(node.run_p95),
        f"{load['cpu']:.0%} of {load['processors']:g}" if "cpu" in load else "",
        size(load["node_memory"]) if "node_memory" in load else "",
        size(load["memory_available"]) if "memory_available" in load else "",
        node.python,
        f"{node.age:.1f} s ago",
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], otherwise: str) -> list[str]:
    """Align columns; numbers to the right. *otherwise* is said where there are no rows."""
    if not rows:
        return [otherwise]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    numeric = [
        all(cell[:1].isdigit() for cell in column if cell) for column in zip(*rows, strict=True)
    ]
    return [
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        ).rstrip()
        for row in (head, *rows)
    ]
