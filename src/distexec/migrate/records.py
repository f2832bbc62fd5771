"""What a run finds out: small frozen records that cross process borders and end up in reports."""

from dataclasses import dataclass, field
from enum import StrEnum


class Severity(StrEnum):
    """How much a finding matters for the call site it belongs to."""

    #: The program would break or lose data; never rewritten unless forced.
    BLOCKS = "blocks"
    #: It may work; rewritten with ``--unsafe``.
    WARNS = "warns"
    #: Good to know; does not keep a site from being rewritten.
    INFORMS = "informs"


class Verdict(StrEnum):
    """What happens to one call site of an executor."""

    REWRITTEN = "rewritten"
    KEPT = "kept"
    UNSAFE = "unsafe"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A spot in a file, before any rewrite: line from 1, column from 1, in characters."""

    path: str
    line: int
    column: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One hazard at one call site."""

    code: str
    severity: Severity
    #: The line that makes the site unsafe.
    place: Place
    message: str
    #: Line of the call site in the file of the report; ``None`` if it belongs to no site.
    site_line: int | None
    #: What to do about it, in one sentence.
    hint: str = ""

    @property
    def order(self) -> tuple[str, int, int, str]:
        """Key for a stable, readable order."""
        return (self.place.path, self.place.line, self.place.column, self.code)


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteReport:
    """The verdict on one call site."""

    place: Place
    verdict: Verdict
    #: The class as the code names it, such as ``futures.ThreadPoolExecutor``.
    name: str
    #: Codes that decided the verdict.
    because: tuple[str, ...] = ()
    #: The comment or answer that kept it, if one did.
    note: str = ""
    #: Lines of the ``submit``/``map`` calls that were followed, for evidence.
    submissions: tuple[Place, ...] = ()


@dataclass(frozen=True, slots=True)
class Edit:
    """Replace ``text[start:end]`` by *new*; offsets count characters."""

    start: int
    end: int
    new: str


@dataclass(slots=True, kw_only=True)
class FileReport:
    """Everything about one file that was read."""

    path: str
    error: str | None = None
    sites: list[SiteReport] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    edits: list[Edit] = field(default_factory=list)
    #: Dotted names whose patch strings must follow, old to new: ``pkg.mod.futures.X``.
    moves: dict[str, str] = field(default_factory=dict)
    #: Pools that other modules can reach: bare names to look for in the tree.
    exported: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether the rewrite touches this file."""
        return bool(self.edits)


def apply_edits(text: str, edits: list[Edit]) -> str:
    """Perform *edits* on *text*; they must not overlap.

    Raises:
        ValueError: Two edits overlap, which would garble the file.
    """
    pieces: list[str] = []
    position = 0
    for edit in sorted(set(edits), key=lambda edit: (edit.start, edit.end)):
        if edit.start < position:
            raise ValueError(f"edits overlap at offset {edit.start}")
        pieces += text[position : edit.start], edit.new
        position = edit.end
    return "".join(pieces) + text[position:]
