"""Parse Python of any version up to 3.14, under any interpreter that runs us.

``ast`` reads what the running interpreter knows, and is ten times faster than anything else. For
newer syntax LibCST parses the file, and its new constructs are *lowered* to older ones of the same
width, so that every position stays true. Nothing of the lowered text is ever written.
"""

import ast
import re
import warnings
from typing import Any

from distexec.migrate.text import Source, Unreadable

#: Python itself takes no more than 200 brackets in each other.
_MOST_BRACKETS = 200
#: Operators in a line: beyond that LibCST takes seconds, for what no person wrote.
_MOST_OPERATORS = 1_000
_BRACKET = re.compile(r"[()\[\]{}]")
_OPERATOR = re.compile(r"[-+*/%|&^.]|\b(?:not|and|or|if)\b")


def parse(source: Source) -> tuple[ast.Module, str]:
    """Parse *source*; return the tree and the text that its positions refer to.

    Raises:
        Unreadable: Not Python, or newer than what we can read.
    """
    try:
        return _parse(source.text), source.text
    except SyntaxError as error:
        refusal = f"line {error.lineno}: {error.msg}" if error.lineno else error.msg
    except (ValueError, RecursionError, MemoryError) as error:
        raise Unreadable(f"cannot parse: {error or type(error).__name__}") from error
    if _is_too_deep(source.text):
        raise Unreadable(f"cannot parse: {refusal}")
    try:
        lowered = lower(source)
    except ImportError:
        raise Unreadable(
            f"cannot parse: {refusal} (for newer syntax: pip install 'distexec[migrate]')"
        ) from None
    except Exception as error:
        # LibCST has one error for bad syntax, and several for depth and odd tokens.
        raise Unreadable(f"cannot parse: {refusal}") from error
    try:
        return _parse(lowered), lowered
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise Unreadable(f"cannot parse: {refusal}") from error


def _is_too_deep(text: str) -> bool:
    """Whether LibCST's parser, which is native code, would run out of stack or of time."""
    depth = 0
    for bracket in _BRACKET.findall(text):
        depth = depth + 1 if bracket in "([{" else max(0, depth - 1)
        if depth > _MOST_BRACKETS:
            return True
    return any(len(_OPERATOR.findall(line)) > _MOST_OPERATORS for line in text.splitlines())


def _parse(text: str) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(text)


def lower(source: Source) -> str:
    """Replace syntax of Python 3.12 to 3.14 by older syntax, character for character.

    Type parameters and ``type`` statements vanish, ``except A, B`` becomes ``except A| B``, and
    f- and t-strings become tuples of the expressions in them.
    """
    import libcst as cst
    from libcst.metadata import MetadataWrapper, PositionProvider

    wrapper = MetadataWrapper(cst.parse_module(source.text), unsafe_skip_copy=True)
    positions = wrapper.resolve(PositionProvider)
    characters = list(source.text)

    def span(node: cst.CSTNode) -> tuple[int, int]:
        where: Any = positions[node]
        begin = source.starts[where.start.line - 1] + where.start.column
        return begin, source.starts[where.end.line - 1] + where.end.column

    def blank(begin: int, end: int, head: str = "") -> None:
        for at in range(begin, end):
            if characters[at] not in "\r\n":
                characters[at] = head[at - begin] if at - begin < len(head) else " "
            elif at > begin and characters[at - 1] not in "\r\n":
                characters[at - 1] = "\\"

    class Lowering(cst.CSTVisitor):
        def visit_TypeParameters(self, node: cst.TypeParameters) -> bool:
            blank(*span(node))
            return False

        def visit_TypeAlias(self, node: cst.TypeAlias) -> bool:
            blank(*span(node), head="pass")
            return False

        def visit_ExceptHandler(self, node: cst.ExceptHandler) -> None:
            self._join_types(node.type)

        def visit_ExceptStarHandler(self, node: cst.ExceptStarHandler) -> None:
            self._join_types(node.type)

        def _join_types(self, kind: cst.BaseExpression | None) -> None:
            if isinstance(kind, cst.Tuple) and not kind.lpar:
                for element in kind.elements[:-1]:
                    at = source.text.index(",", span(element.value)[1])
                    characters[at] = "|"

        def visit_ConcatenatedString(self, node: cst.ConcatenatedString) -> bool:
            return self._open(node)

        def visit_FormattedString(self, node: cst.FormattedString) -> bool:
            return self._open(node)

        def visit_TemplatedString(self, node: Any) -> bool:
            return self._open(node)

        def _open(self, node: cst.CSTNode) -> bool:
            """Turn ``f"a {x} b {y}"`` into ``(    x    ,y )``."""
            begin, end = span(node)
            inner: list[tuple[int, int]] = []
            _collect(node, inner, span)
            if not inner and not isinstance(node, cst.FormattedString) and not _is_template(node):
                return False
            old = source.text
            for at in range(begin, end):
                if not any(first <= at < last for first, last in inner) and old[at] not in "\r\n":
                    characters[at] = " "
            characters[begin], characters[end - 1] = "(", ")"
            for first, _ in inner[1:]:
                characters[old.rindex("{", begin, first)] = ","
            for first, last in inner:
                nested = Source(source.path, old[first:last])
                try:
                    _parse("(" + nested.text + ")")
                except SyntaxError:
                    try:
                        characters[first:last] = list(lower(nested))
                    except Exception:
                        blank(first, last, "0")
            return False

    wrapper.module.visit(Lowering())
    return "".join(characters)


def _is_template(node: Any) -> bool:
    return type(node).__name__ == "TemplatedString"


def _collect(node: Any, into: list[tuple[int, int]], span: Any) -> None:
    """Gather the spans of the expressions inside the strings of *node*."""
    if type(node).__name__ in ("FormattedStringExpression", "TemplatedStringExpression"):
        into.append(span(node.expression))
        for part in node.format_spec or ():
            _collect(part, into, span)
        return
    for child in node.children:
        _collect(child, into, span)
