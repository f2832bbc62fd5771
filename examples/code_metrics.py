"""Measure Python source files and compare functions: plain code that has never heard of executors.

A file's syntax tree is laid out once as a row of nodes, one byte each, every node before its
children. There a function is a slice, and all that is measured of it is a sum, a maximum or a set.
"""

import ast
import gc
import hashlib
import heapq
import warnings
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

#: Nodes of a syntax tree in one shingle: enough that a common idiom alone is not a likeness.
SHINGLE_NODES = 8
#: Smallest shingle hashes kept of each function; two functions alike share most of them.
SKETCH_SIZE = 16
#: Functions with fewer nodes resemble each other by nature, and are not compared.
SHORTEST_NODES = 80

NODES = {k for k in vars(ast).values() if isinstance(k, type) and issubclass(k, ast.AST)}
#: The byte that stands for each kind of node, the same in every process.
KINDS = {kind: number for number, kind in enumerate(sorted(NODES, key=lambda k: k.__name__))}
#: Each of these adds a path through the code.
BRANCHES = (
    *(ast.If, ast.IfExp, ast.For, ast.AsyncFor, ast.While, ast.comprehension),
    *(ast.ExceptHandler, ast.match_case, ast.Assert, ast.And, ast.Or),
)
BLOCKS = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.Try, ast.With, ast.AsyncWith, ast.Match)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)

# Trees are many objects without cycles: the collector would look at them over and over for nothing.
gc.set_threshold(100_000)
# Source files, and tests most of all, have invalid escapes; they are measured all the same.
warnings.filterwarnings("ignore", category=SyntaxWarning)


class Place(NamedTuple):
    """Where a function stands."""

    path: str
    first_line: int
    last_line: int


class Function(NamedTuple):
    """The measures of one function or method."""

    place: Place
    name: str
    #: Paths through the code, as McCabe counts them.
    complexity: int
    #: Blocks around its deepest node.
    nesting: int
    #: The smallest hashes of its shingles; none for a function that is too short to compare.
    sketch: tuple[int, ...]


class Module(NamedTuple):
    """The measures of one file."""

    path: str
    digest: str
    lines: int
    #: Lines that are neither empty nor only a comment.
    code_lines: int
    #: The names used most, with how often.
    names: tuple[tuple[str, int], ...] = ()
    #: How many functions it has.
    functions: int = 0
    #: The function with the most paths, and the one with the most blocks inside each other.
    hardest: Function | None = None
    deepest: Function | None = None
    #: The functions that are long enough to be compared.
    comparable: tuple[Function, ...] = ()
    #: Why the file could not be parsed, if it could not.
    error: str = ""


class Likeness(NamedTuple):
    """How much two functions have in common, from 0 to 1."""

    ratio: float
    left: Place
    right: Place


def measure(path: str) -> Module:
    """Parse the file and measure it and each of its functions."""
    source = Path(path).read_bytes()
    lines = [line.strip() for line in source.splitlines()]
    code_lines = sum(1 for line in lines if line and not line.startswith(b"#"))
    digest = hashlib.sha256(source).hexdigest()
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError) as error:
        return Module(path, digest, len(lines), code_lines, error=str(error.args[0]))
    layout = _Layout(tree)
    # Ties are broken by name, so that every run gives the same answer.
    common = sorted(layout.names.items(), key=lambda item: (-item[1], item[0]))[:5]
    functions = list(_measure_functions(path, layout))
    return Module(
        path,
        digest,
        len(lines),
        code_lines,
        names=tuple(common),
        functions=len(functions),
        hardest=max(functions, key=lambda function: function.complexity, default=None),
        deepest=max(functions, key=lambda function: function.nesting, default=None),
        comparable=tuple(function for function in functions if function.sketch),
    )


def compare(left: Place, others: Sequence[Place]) -> list[Likeness]:
    """Compare one function with each of *others*, shingle by shingle."""
    ours = _shingles_at(left)
    found = []
    for right in others:
        theirs = _shingles_at(right)
        found.append(Likeness(round(len(ours & theirs) / len(ours | theirs), 4), left, right))
    return found


class _Layout:
    """A syntax tree as a row of bytes: a node's descendants follow it without a gap."""

    def __init__(self, tree: ast.AST) -> None:
        self.kinds = bytearray()
        #: Blocks around each node.
        self.depths = bytearray()
        self.names: Counter[str] = Counter()
        #: Each function with its slice of the row.
        self.functions: list[tuple[ast.FunctionDef | ast.AsyncFunctionDef, slice]] = []
        self._add(tree, depth=0)

    def _add(self, node: ast.AST, depth: int) -> None:
        start = len(self.kinds)
        self.kinds.append(KINDS[type(node)])
        self.depths.append(depth)
        if isinstance(node, ast.Name):
            self.names[node.id] += 1
            return
        inside = depth + isinstance(node, BLOCKS)
        for field in node._fields:
            value = getattr(node, field, None)
            for child in value if isinstance(value, list) else (value,):
                if isinstance(child, ast.AST):
                    is_elif = isinstance(node, ast.If) and _is_elif(node, child)
                    self._add(child, depth if is_elif else inside)
        if isinstance(node, FUNCTIONS):
            self.functions.append((node, slice(start, len(self.kinds))))


def _is_elif(parent: ast.If, child: ast.AST) -> bool:
    """The parser makes of ``elif`` an ``if`` inside the ``else``; only its column tells."""
    return isinstance(child, ast.If) and child.col_offset == parent.col_offset


def _measure_functions(path: str, layout: _Layout) -> Iterator[Function]:
    for node, inside in layout.functions:
        kinds, depths = layout.kinds[inside], layout.depths[inside]
        complexity = 1 + sum(kinds.count(KINDS[kind]) for kind in BRANCHES)
        nesting = max(depths) - depths[0]
        sketch = heapq.nsmallest(SKETCH_SIZE, _shingles(kinds))
        first_line = min(start.lineno for start in (node, *node.decorator_list))
        place = Place(path, first_line, node.end_lineno or node.lineno)
        yield Function(place, node.name, complexity, nesting, tuple(sketch))


def _shingles(kinds: bytearray) -> set[int]:
    """Return hashes of all runs of `SHINGLE_NODES`: what stays when names and values change."""
    if len(kinds) < SHORTEST_NODES:
        return set()
    ends = range(SHINGLE_NODES, len(kinds) + 1)
    return {zlib.crc32(kinds[end - SHINGLE_NODES : end]) for end in ends}


def _shingles_at(place: Place) -> set[int]:
    source = Path(place.path).read_bytes().splitlines(keepends=True)
    lines = source[place.first_line - 1 : place.last_line]
    if lines[0][:1].isspace():
        lines.insert(0, b"if True:\n")  # gives a method's indentation a reason
    layout = _Layout(ast.parse(b"".join(lines)))
    return _shingles(layout.kinds[layout.functions[-1][1]])
