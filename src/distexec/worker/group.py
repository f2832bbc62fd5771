"""Runs the inputs of a `map` that travel together: each as if it were a call of its own."""

import asyncio
import time
from collections.abc import Callable, Iterable
from itertools import islice
from types import CoroutineType
from typing import Any, NamedTuple

from distexec.errors import NotPicklable
from distexec.wire.exceptions import pack_exception
from distexec.wire.values import pack_result
from distexec.worker import context
from distexec.worker.usage import kept_seconds

#: Seconds after which the inputs that did not start are given back: ten times what a group is made
#: for, so that a busy machine is not taken for a function that became slow.
STOP_SECONDS = 0.02

#: Inputs between two looks at the clock, which takes as long as calling a function: as many may
#: run one after the other after all, should they turn out to be slow.
LOOK_EVERY = 4


class Outcomes(NamedTuple):
    """What became of a group's inputs, in their order."""

    #: The packed list of results; ``None`` where an input raised. It may be shorter than the
    #: inputs: those that are missing did not start.
    results: bytes
    #: Packed exceptions, by the input's place.
    errors: dict[int, bytes]


def run_group(function: Callable[..., Any], columns: Iterable[Iterable[Any]]) -> Outcomes:
    """Call *function* with each input, that is with the first of each column, and so on."""
    stop_at, kept_before = time.monotonic() + STOP_SECONDS, kept_seconds()
    results: list[Any] = []
    errors: dict[int, bytes] = {}
    context.running.results = results
    inputs = zip(*columns, strict=True)
    ended = -1
    while ended < len(results):
        # What others took of the processor does not make the inputs slow.
        if (late := time.monotonic() - stop_at) > 0 and late > kept_seconds() - kept_before:
            break
        ended = len(results)
        for args in islice(inputs, LOOK_EVERY):
            try:
                result = function(*args)
                if type(result) is CoroutineType:
                    result = asyncio.run(result)
            except BaseException as error:
                result, errors[len(results)] = None, pack_exception(without_our_frames(error))
            results.append(result)
    context.running.results = None
    try:
        return Outcomes(pack_result(results), errors)
    except NotPicklable:
        return Outcomes(pack_result(_keep_what_travels(results, errors)), errors)


def without_our_frames(error: BaseException) -> BaseException:
    """Let the traceback begin where the user's code does."""
    traceback = error.__traceback__
    if traceback is not None and traceback.tb_next is not None:
        error.__traceback__ = traceback.tb_next
    return error


def _keep_what_travels(results: list[Any], errors: dict[int, bytes]) -> list[Any]:
    """Put an error where a result cannot be sent."""
    for place, result in enumerate(results):
        try:
            pack_result(result)
        except NotPicklable as error:
            results[place], errors[place] = None, pack_exception(error)
    return results
