"""The text of one file: bytes to characters and back without changing any, and places in it."""

import io
import re
import tokenize
from bisect import bisect_right
from dataclasses import dataclass, field

_LINE_END = re.compile(r"\r\n|\r|\n")


class Unreadable(Exception):
    """A file that cannot be decoded or parsed; the message says why."""


@dataclass(slots=True)
class Source:
    """Decoded text of a file, with the means to write it back byte for byte."""

    path: str
    text: str
    encoding: str = "utf-8"
    bom: bytes = b""
    #: Offset of the first character of each line.
    starts: list[int] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        # Not str.splitlines: it also splits at form feeds, which Python does not.
        self.starts = [0, *(match.end() for match in _LINE_END.finditer(self.text))]

    @classmethod
    def decode(cls, path: str, raw: bytes) -> "Source":
        """Decode *raw* as Python would.

        Raises:
            Unreadable: Unknown or wrong encoding, or one that would not give the same bytes back.
        """
        try:
            encoding, _ = tokenize.detect_encoding(io.BytesIO(raw).readline)
            bom = b"\xef\xbb\xbf" if encoding == "utf-8-sig" else b""
            if bom:
                encoding = "utf-8"
            source = cls(path, raw[len(bom) :].decode(encoding), encoding, bom)
            exact = source.encode(source.text) == raw
        except (SyntaxError, UnicodeError, LookupError) as error:
            raise Unreadable(f"cannot decode: {error}") from error
        if not exact:
            raise Unreadable(f"encoding {encoding} does not give the same bytes back")
        return source

    def encode(self, text: str) -> bytes:
        """Encode *text* as this file is encoded."""
        return self.bom + text.encode(self.encoding)

    @property
    def newline(self) -> str:
        """The line ending of the file, by its first line."""
        match = _LINE_END.search(self.text)
        return match.group() if match else "\n"

    def line(self, number: int) -> str:
        """Text of line *number* (from 1) without its ending."""
        start = self.starts[number - 1]
        end = self.starts[number] if number < len(self.starts) else len(self.text)
        return self.text[start:end].rstrip("\r\n")

    def offset(self, line: int, utf8_column: int, *, of: str | None = None) -> int:
        """Character offset of an ``ast`` position, whose columns count UTF-8 bytes.

        Args:
            of: The text that was parsed, if it is not this one (same length in characters).
        """
        start = self.starts[line - 1]
        text = self.text if of is None else of
        head = text[start : start + utf8_column]
        if head.isascii():
            return start + utf8_column
        return start + len(
            head.encode("utf-8", "surrogatepass")[:utf8_column].decode("utf-8", "ignore")
        )

    def line_of(self, offset: int) -> int:
        """Line number (from 1) of a character offset."""
        return bisect_right(self.starts, offset)

    def column_of(self, offset: int) -> int:
        """Column (from 1) of a character offset."""
        return offset - self.starts[self.line_of(offset) - 1] + 1
