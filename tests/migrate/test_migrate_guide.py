"""The guide for people tells the truth."""

import re
from pathlib import Path

from distexec.migrate.rules import RULES

from .tools import Examine

GUIDE = (Path(__file__).resolve().parents[2] / "migrate" / "README.md").read_text("utf-8")


def test_the_table_of_hazards_is_complete() -> None:
    """Every rule, with the severity and hint that the tool shows."""
    rows = dict(re.findall(r"^\| (DX\d{3}) \| (.*) \|$", GUIDE, re.M))

    assert rows == {r.code: f"{r.severity.value} | {r.summary} | {r.hint}" for r in RULES.values()}


def test_the_small_program_is_rewritten_as_shown(examine: Examine) -> None:
    """Readers will try it."""
    program = re.findall(r"```python\n(.*?)```", GUIDE, re.S)[0]

    text, report = examine(program)

    assert "import distexec\n" in text
    assert "with distexec.ThreadPoolExecutor(max_workers=8) as pool:" in text
    assert [site.verdict.value for site in report.sites] == ["rewritten", "kept"]
    (finding,) = (f for f in report.findings if f.code == "DX102")
    assert finding.message in GUIDE
