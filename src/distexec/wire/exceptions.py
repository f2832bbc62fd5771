"""Exceptions as payloads: the same class, arguments, attributes and traceback on the other side.

Pickle rebuilds an exception by calling its class with ``args``, which fails for every class whose
constructor wants something else, and it forgets traceback, cause and context. So each exception of
the chain is taken apart here: what can be sent is sent in pieces, and a piece that cannot be
pickled, or not be unpickled in the caller, costs that piece and not the exception. What cannot be
rebuilt at all arrives as `RemoteError` with name, text and traceback. Nothing here raises because
of an exception's own misbehaviour.
"""

import copyreg
import traceback
import types
from collections.abc import Sequence
from typing import Any, NamedTuple

from distexec.errors import RemoteError
from distexec.wire.culprit import describe_error, text_of, type_name
from distexec.wire.frames import Frame, make_traceback, take_frames
from distexec.wire.pickling import _loads, dump

#: Exceptions that one payload carries: of a chain that a retry loop made, the newest.
MOST_EXCEPTIONS = 500

#: Characters of the formatted traceback; its end says what happened.
LONGEST_TEXT = 100_000

#: Where a class changes how it is pickled. One that does is heard first.
_PICKLE_HOOKS = ("__reduce__", "__reduce_ex__", "__getstate__", "__setstate__")

#: Attributes that are carried otherwise; and AttributeError's ``obj``, which may be anything, and
#: which CPython leaves out as well (gh-103352).
_NOT_SLOTS = frozenset({"message", "exceptions", "obj", "__weakref__", "__dict__"})


class _Told(NamedTuple):
    """One exception, taken apart. The numbers are positions in the payload's list."""

    type_name: str
    text: str
    traceback_text: str
    frames: list[Frame]
    notes: list[str]
    cause: int | None
    context: int | None
    suppress_context: bool
    #: What an exception group has in it.
    members: list[int] | None
    #: The pickled class; ``None`` if it cannot be pickled.
    kind: bytes | None
    #: The exception pickled as its class wants it, if that is special.
    own: bytes | None
    #: Pickled ``(args of the constructor, args)``.
    args: bytes
    #: Pickled attributes and slots.
    attributes: bytes


def pack_exception(error: BaseException) -> bytes:
    """Return the payload of *error* and all that hangs on it.

    Raises:
        MemoryError: There is no room for it.
    """
    errors = _reachable(error)
    numbers = {id(each): number for number, each in enumerate(errors)}
    kinds: dict[type, bytes | None] = {}
    told = []
    for each in errors:
        try:
            told.append(_tell(each, numbers, kinds))
        except BaseException as problem:
            _let_interrupt(problem)
            told.append(_tell_little(each))
    told[0] = told[0]._replace(traceback_text=_format(error))
    return dump([(*each[:3], [tuple(frame) for frame in each.frames], *each[4:]) for each in told])


def unpack_exception(payload: bytes | memoryview) -> BaseException:
    """Return the exception that was given to `pack_exception`, or a `RemoteError` in its place.

    As with the standard pools, its ``__cause__`` is a ``_RemoteTraceback`` with the formatted
    traceback; the cause that it had itself is that one's ``__cause__``.
    """
    from concurrent.futures.process import _RemoteTraceback

    try:
        told = [
            _Told(*fields)._replace(frames=[Frame(*frame) for frame in fields[3]])
            for fields in _loads(payload)
        ]
        errors = _rebuild_all(told)
        first, story = errors[0], told[0]
    except Exception as problem:
        return RemoteError("unknown", f"its payload cannot be read: {describe_error(problem)}")
    # typeshed wants a traceback object where the standard pools give text.
    text: Any = f'\n"""\n{story.traceback_text}"""'
    remote = _RemoteTraceback(text)
    remote.__cause__ = first.__cause__
    first.__cause__ = remote
    # Setting a cause hides the context; it was the user's to decide.
    first.__suppress_context__ = story.suppress_context
    return first


def _rebuild_all(told: Sequence[_Told]) -> list[BaseException]:
    rebuilt: dict[int, BaseException] = {}
    while len(rebuilt) < len(told):
        # A group can only be made of members that exist already.
        ready = [
            number
            for number, each in enumerate(told)
            if number not in rebuilt and rebuilt.keys() >= set(each.members or ())
        ]
        if not ready:
            raise ValueError("a group has members that are not there")
        for number in ready:
            rebuilt[number] = _rebuild(told[number], rebuilt)
    for number, each in enumerate(told):
        error = rebuilt[number]
        error.__traceback__ = make_traceback(each.frames)
        error.__cause__ = None if each.cause is None else rebuilt[each.cause]
        error.__context__ = None if each.context is None else rebuilt[each.context]
        error.__suppress_context__ = each.suppress_context
        if each.notes:
            error.__notes__ = each.notes
    return [rebuilt[number] for number in range(len(told))]


def _reachable(error: BaseException) -> list[BaseException]:
    """Return *error* and the causes, contexts and members of groups behind it, each once."""
    found = [error]
    seen = {id(error)}
    for each in found:
        members = each.exceptions if isinstance(each, BaseExceptionGroup) else ()
        for other in (each.__cause__, each.__context__, *members):
            if other is not None and id(other) not in seen and len(found) < MOST_EXCEPTIONS:
                seen.add(id(other))
                found.append(other)
    return found


def _tell(error: BaseException, numbers: dict[int, int], kinds: dict[type, bytes | None]) -> _Told:
    kind = type(error)
    if kind not in kinds:
        kinds[kind] = _try_dump(kind)
    left_out: list[str] = []
    attributes = dict(error.__dict__)
    notes = attributes.pop("__notes__", ())
    members = None
    if isinstance(error, BaseExceptionGroup):
        members = [numbers[id(each)] for each in error.exceptions if id(each) in numbers]
    base = _builtin_base(kind)
    told = _Told(
        type_name=type_name(error),
        text=text_of(error),
        traceback_text="",
        frames=take_frames(error.__traceback__),
        notes=[str(note) for note in notes] if isinstance(notes, list | tuple) else [],
        cause=numbers.get(id(error.__cause__)),
        context=numbers.get(id(error.__context__)),
        suppress_context=error.__suppress_context__,
        members=members,
        kind=kinds[kind],
        own=_try_dump(error) if _has_pickle_hook(kind, base) else None,
        args=_dump_arguments(error, base, left_out),
        attributes=_dump_attributes(attributes, _slots(error), left_out),
    )
    told.notes.extend(f"distexec left out {name}, which cannot be sent" for name in left_out)
    return told


def _tell_little(error: BaseException) -> _Told:
    """Tell what is left of an exception whose own parts raise when they are looked at."""
    return _Told(
        type_name=type_name(error),
        text=text_of(error),
        traceback_text="",
        frames=[],
        notes=[],
        cause=None,
        context=None,
        suppress_context=False,
        members=None,
        kind=None,
        own=None,
        args=b"",
        attributes=b"",
    )


def _rebuild(told: _Told, rebuilt: dict[int, BaseException]) -> BaseException:
    for attempt in (_rebuild_by_own_pickle, _rebuild_from_parts):
        try:
            error = attempt(told, rebuilt)
        except BaseException as problem:
            _let_interrupt(problem)
            continue
        if isinstance(error, BaseException):
            return error
    return RemoteError(told.type_name, told.text, told.traceback_text)


def _rebuild_by_own_pickle(told: _Told, _: object) -> Any:
    return _loads(told.own) if told.own is not None else None


def _rebuild_from_parts(told: _Told, rebuilt: dict[int, BaseException]) -> Any:
    if told.kind is None:
        return None
    kind = _loads(told.kind)
    base = _builtin_base(kind)
    try:
        first_args, args = _loads(told.args)
    except BaseException as problem:
        _let_interrupt(problem)
        first_args = args = (told.text,)
        told.notes.append(f"distexec left out the args: {describe_error(problem)}")
    if told.members is not None:
        first_args = (first_args[0], [rebuilt[number] for number in told.members])
    try:
        # Past the class's own constructor: nobody knows what it wants.
        error = base.__new__(kind, *first_args)
    except TypeError:
        # Written in C, with a layout of its own.
        error = kind.__new__(kind, *first_args)
    try:
        base.__init__(error, *first_args)
    except TypeError:
        # Its own constructor did not call this one either.
        pass
    if told.members is None:
        error.args = args
    try:
        attributes, slots = _loads(told.attributes)
    except BaseException as problem:
        _let_interrupt(problem)
        told.notes.append(f"distexec left out the attributes: {describe_error(problem)}")
        return error
    error.__dict__.update(attributes)
    for name, value in slots.items():
        try:
            setattr(error, name, value)
        except (AttributeError, TypeError):
            continue
    return error


def _let_interrupt(problem: BaseException) -> None:
    """Raise again what is not the exception's own misbehaviour."""
    if isinstance(problem, KeyboardInterrupt | MemoryError):
        raise problem


def _builtin_base(kind: type) -> type[BaseException]:
    """Return the class that made the exception's state in C; `BaseException` is the last resort."""
    for base in kind.__mro__:
        if base.__module__ == "builtins" and issubclass(base, BaseException):
            return base
    raise TypeError(f"{kind} is not an exception class")


def _has_pickle_hook(kind: type, base: type) -> bool:
    return kind in copyreg.dispatch_table or any(
        getattr(kind, hook, None) is not getattr(base, hook, None) for hook in _PICKLE_HOOKS
    )


def _dump_arguments(error: BaseException, base: type[BaseException], left_out: list[str]) -> bytes:
    """Pickle what the builtin constructor is given, and ``args``; an OSError's differ."""
    if isinstance(error, BaseExceptionGroup):
        first_args = args = (error.message,)
    else:
        first_args, args = tuple(base.__reduce__(error)[1]), error.args
    data = _try_dump((first_args, args))
    if data is not None:
        return data
    left_out.extend(f"args[{n}]" for n, each in enumerate(args) if _try_dump(each) is None)
    return dump((tuple(map(_sendable, first_args)), tuple(map(_sendable, args))))


def _dump_attributes(
    attributes: dict[str, Any], slots: dict[str, Any], left_out: list[str]
) -> bytes:
    data = _try_dump((attributes, slots))
    if data is not None:
        return data
    for values in (attributes, slots):
        for name in [name for name, value in values.items() if _try_dump(value) is None]:
            left_out.append(name)
            del values[name]
    return dump((attributes, slots))


def _slots(error: BaseException) -> dict[str, Any]:
    """Return the attributes that are not in ``__dict__``: ``__slots__``, and those kept in C."""
    values = {}
    for kind in type(error).__mro__:
        for name, member in vars(kind).items():
            if not isinstance(member, types.MemberDescriptorType):
                continue
            if name in _NOT_SLOTS or name.startswith("__"):
                continue
            value = getattr(error, name, None)
            # Setting an OSError's to None, which they are already, would change its text.
            if value is not None:
                values[name] = value
    return values


def _format(error: BaseException) -> str:
    try:
        text = "".join(traceback.format_exception(error))
    except BaseException as problem:
        _let_interrupt(problem)
        return f"{type_name(error)}: {text_of(error)}\n"
    return text if len(text) <= LONGEST_TEXT else f"[...]{text[-LONGEST_TEXT:]}"


def _try_dump(value: Any) -> bytes | None:
    try:
        return dump(value)
    except BaseException as problem:
        _let_interrupt(problem)
        return None


def _sendable(value: Any) -> Any:
    """Return *value*, or what it looks like if it cannot be sent."""
    if _try_dump(value) is not None:
        return value
    try:
        return repr(value)
    except Exception:
        return f"<{type_name(value)}>"
