"""Draw what is in ``results/``, and put it into the README: ``make bench-report``."""

import math
import re
from collections.abc import Callable, Iterable, Iterator
from html import escape
from pathlib import Path

from _report import RESULTS, Report, cell, columns_of, number, read

README = Path(__file__).with_name("README.md")
_MARKS = "<!-- results: made by `make bench-report` -->", "<!-- end of results -->"

_WIDTH = 720
_OURS = "#0b6e4f"
#: Told apart by people who see red and green alike.
_COLOURS = ("#0b6e4f", "#d55e00", "#0072b2", "#cc79a7", "#8a8a8a", "#e69f00", "#56b4e9", "#000000")
_OTHERS = "#b8c0cc"

#: Bars that differ by more than this are drawn by their logarithm.
_LOG_FROM = 30.0


def main() -> None:
    reports = [read(path) for path in sorted(RESULTS.glob("*.json"))]
    for report in reports:
        lines = list(curves(report) if report.is_curve else bars(report))
        (RESULTS / f"{report.name}.svg").write_text("\n".join(lines) + "\n")
    before, _, rest = README.read_text().partition(_MARKS[0])
    _, _, after = rest.partition(_MARKS[1])
    body = "\n".join(section for report in reports for section in as_markdown(report))
    summary = "\n".join(targets(reports))
    README.write_text(f"{before}{_MARKS[0]}\n\n{summary}\n\n{body}\n{_MARKS[1]}{after}")
    print(f"{README.name}: {len(reports)} results")


def targets(reports: Iterable[Report]) -> Iterator[str]:
    """One table of everything that was to be reached."""
    yield "| question | to reach | measured | |"
    yield "|---|---|---|---|"
    for report in reports:
        for target in report.targets:
            verdict = "reached" if target.is_met else "**missed**"
            name = f"[{report.name}](#{report.name.replace('_', '-')})"
            yield f"| {name} | {target.text} | {number(target.value)} | {verdict} |"


def as_markdown(report: Report) -> Iterator[str]:
    """One result: a table, a picture, and where it comes from."""
    columns = columns_of(report)
    yield f"### {report.name.replace('_', '-')}\n\n{report.question}\n"
    yield f"![{report.question}](results/{report.name}.svg)\n"
    yield f"| {report.unit} | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}"
    for name in report.found:
        yield f"| {name} | {' | '.join(cell(report, name, column) for column in columns)} |"
    yield ""
    yield from (f"{note}\n" for note in report.notes)
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    yield f"<sub>{report.taken}; {report.machine}; {versions}.</sub>\n"


def bars(report: Report) -> Iterator[str]:
    """A bar for each contender: the median, and a line from the lowest round to the highest."""
    rows = [
        (name, report.median(name, report.plot), row[report.plot])
        for name, row in report.found.items()
        if row.get(report.plot)
    ]
    left, right, step = 210, 120, 24
    numbers = [value for *_, samples in rows for value in samples if value > 0]
    low, high = min(numbers), max(numbers)
    logarithmic = high / low > _LOG_FROM
    scale = _scale(low / 2 if logarithmic else 0.0, high, left, _WIDTH - right, logarithmic)
    height = 34 + step * len(rows) + 10
    yield _open(height, report.question)
    kind = ", logarithmic" if logarithmic else ""
    yield _text(left, 20, f"{report.unit}: {report.plot}{kind}", size=11, colour="#555")
    for index, (name, middle, samples) in enumerate(rows):
        y = 34 + step * index
        colour = _OURS if name.startswith("distexec") else _OTHERS
        yield _text(left - 8, y + 13, name, anchor="end")
        width = max(1.0, scale(max(middle, low / 2)) - left)
        yield f'<rect x="{left}" y="{y}" width="{width:.1f}" height="16" fill="{colour}"/>'
        first, last = scale(max(min(samples), low / 2)), scale(max(samples))
        yield _line(first, y + 8, last, y + 8, "#333")
        yield _text(max(last, left + width) + 6, y + 13, number(middle))
    yield "</svg>"


def curves(report: Report) -> Iterator[str]:
    """A curve for each row, over the columns; both axes are logarithmic."""
    left, right, top, bottom, height = 70, 190, 34, 44, 320
    points = {
        name: [(_value(column), report.median(name, column)) for column in row]
        for name, row in report.found.items()
    }
    xs = [x for row in points.values() for x, _ in row]
    ys = [y for row in points.values() for _, y in row]
    across = _scale(min(xs), max(xs), left, _WIDTH - right, True)
    up = _scale(_decade(min(ys)), _decade(max(ys), up=True), height - bottom, top, True)
    yield _open(height, report.question)
    yield _text(left, 20, report.unit, size=11, colour="#555")
    yield _text((left + _WIDTH - right) / 2, height - 6, report.plot, anchor="middle", size=11)
    for column in columns_of(report):
        x = across(_value(column))
        yield _line(x, top, x, height - bottom, "#eee")
        yield _text(x, height - bottom + 16, column, anchor="middle", size=11)
    exponents = range(_exponent(min(ys)), _exponent(max(ys), up=True) + 1)
    for y in (10.0**exponent for exponent in exponents):
        yield _line(left, up(y), _WIDTH - right, up(y), "#eee")
        yield _text(left - 6, up(y) + 4, f"{y:,g}", anchor="end", size=11)
    ends: list[float] = []
    for (name, row), colour in zip(points.items(), _COLOURS * 3, strict=False):
        places = [(across(x), up(y)) for x, y in row]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
        for x, y in places:
            yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>'
        end = places[-1][1]
        while any(abs(end - other) < 13 for other in ends):
            end += 2
        ends.append(end)
        yield _text(_WIDTH - right + 8, end + 4, name, colour=colour)
    yield "</svg>"


def _scale(
    low: float, high: float, start: float, end: float, logarithmic: bool
) -> Callable[[float], float]:
    def place(value: float) -> float:
        if high == low:
            share = 0.5
        elif logarithmic:
            share = math.log(value / low) / math.log(high / low)
        else:
            share = (value - low) / (high - low)
        return start + share * (end - start)

    return place


def _exponent(value: float, *, up: bool = False) -> int:
    exponent = math.log10(value)
    return math.ceil(exponent) if up else math.floor(exponent)


def _decade(value: float, *, up: bool = False) -> float:
    return 10.0 ** _exponent(value, up=up)


def _value(column: str) -> float:
    """The number that a column is about, as in ``10 MB`` or ``100,000``."""
    match = re.fullmatch(r"([\d,.]+) ?(B|KB|MB)?", column)
    assert match is not None, column
    return float(match[1].replace(",", "")) * {"KB": 1e3, "MB": 1e6}.get(match[2], 1.0)


def _open(height: float, title: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        f'font-family="sans-serif"><title>{escape(title)}</title>'
        f'<rect width="{_WIDTH}" height="{height}" fill="white"/>'
    )


def _text(
    x: float, y: float, text: str, *, anchor: str = "start", size: int = 12, colour: str = "#222"
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" '
        f'fill="{colour}">{escape(text)}</text>'
    )


def _line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{colour}"/>'


if __name__ == "__main__":
    main()
