"""Tracebacks as plain records, and real traceback objects made of them in another process."""

import types
from collections.abc import Sequence
from typing import NamedTuple

#: Frames of one traceback: a RecursionError has a thousand, and nobody reads the middle.
OUTER_FRAMES, INNER_FRAMES = 20, 80


class Frame(NamedTuple):
    """What a traceback shows of one frame. Its variables stay where they are."""

    filename: str
    function: str
    line: int
    module: str


def take_frames(link: types.TracebackType | None) -> list[Frame]:
    """Return the frames of a traceback, outermost first, without the middle of a very deep one."""
    frames = []
    while link is not None:
        code = link.tb_frame.f_code
        module = link.tb_frame.f_globals.get("__name__") or "?"
        frames.append(Frame(code.co_filename, code.co_name, link.tb_lineno or 1, str(module)))
        link = link.tb_next
    if len(frames) > OUTER_FRAMES + INNER_FRAMES:
        frames[OUTER_FRAMES:-INNER_FRAMES] = []
    return frames


def make_traceback(frames: Sequence[Frame]) -> types.TracebackType | None:
    """Return a traceback that shows *frames*, for debuggers, test runners and error trackers."""
    if not frames:
        return None
    from tblib import Traceback  # type: ignore[import-untyped]  # it ships no types

    link = None
    for frame in reversed(frames):
        code = types.SimpleNamespace(co_filename=frame.filename, co_name=frame.function)
        namespace = {"__name__": frame.module, "__file__": frame.filename}
        inner = types.SimpleNamespace(f_code=code, f_globals=namespace, f_lineno=frame.line)
        link = types.SimpleNamespace(tb_frame=inner, tb_lineno=frame.line, tb_next=link)
    made: types.TracebackType | None = Traceback(link).as_traceback()
    return made
