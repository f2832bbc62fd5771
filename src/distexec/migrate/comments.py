"""``# distexec: local`` and ``# distexec: ignore[DX101]``: the user's word on one line."""

import io
import re
import tokenize
from dataclasses import dataclass, field

from distexec.migrate.text import Source

_COMMENT = re.compile(r"#\s*distexec:\s*(?P<word>local|ignore)\b\s*(?:\[(?P<codes>[^\]]*)\])?")


@dataclass(slots=True)
class Comment:
    """One comment, and whether it made a difference."""

    line: int
    column: int
    #: The lines it speaks for: its own, or the next if it stands alone.
    applies_to: int
    #: Empty for ``local`` and for an ``ignore`` of everything.
    codes: frozenset[str]
    is_local: bool
    is_used: bool = False

    def covers(self, code: str) -> bool:
        """Whether it switches off *code*."""
        return not self.is_local and (not self.codes or code in self.codes)


@dataclass(slots=True)
class Comments:
    """All comments for us in one file."""

    all: list[Comment] = field(default_factory=list)

    @classmethod
    def of(cls, source: Source) -> "Comments":
        """Find the comments of *source*."""
        comments = cls()
        if "distexec:" not in source.text:
            return comments
        for line, column, text in _comment_tokens(source):
            match = _COMMENT.match(text)
            if match:
                codes = frozenset(
                    code.strip() for code in (match["codes"] or "").split(",") if code.strip()
                )
                alone = not source.line(line)[:column].strip()
                comments.all.append(
                    Comment(line, column + 1, line + alone, codes, match["word"] == "local")
                )
        return comments

    def keeps(self, first: int, last: int) -> bool:
        """Whether a statement on these lines is to be left alone."""
        found = [c for c in self.all if c.is_local and first <= c.applies_to <= last]
        for comment in found:
            comment.is_used = True
        return bool(found)

    def ignores(self, code: str, lines: list[tuple[int, int]]) -> bool:
        """Whether *code* is switched off on any of the line ranges."""
        found = [
            comment
            for comment in self.all
            if comment.covers(code)
            and any(first <= comment.applies_to <= last for first, last in lines)
        ]
        for comment in found:
            comment.is_used = True
        return bool(found)


def _comment_tokens(source: Source) -> list[tuple[int, int, str]]:
    try:
        return [
            (token.start[0], token.start[1], token.string)
            for token in tokenize.generate_tokens(io.StringIO(source.text).readline)
            if token.type == tokenize.COMMENT
        ]
    except (tokenize.TokenError, SyntaxError):
        # Newer syntax than this interpreter's tokenizer knows: take the lines as they are.
        found = []
        for number in range(1, len(source.starts) + 1):
            line = source.line(number)
            at = line.find("# distexec:")
            if at >= 0:
                found.append((number, at, line[at:]))
        return found
