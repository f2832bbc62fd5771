"""CPython's own tests of its executors, on ours: programs rely on what these pin down.

A test here stands for one test method of CPython; ``suite.py`` says where they come from and how
the executors are swapped, ``senseless.py`` which are left out and why.
"""

import logging
import os
import sys
import unittest
from unittest import mock

import pytest

from . import suite
from .senseless import LATER, SENSELESS
from .suite import Case

#: Tests that contradict a newer CPython, or what our users need more. Passing them is no mistake.
CONTRADICTED = {
    "ThreadPoolShutdown.test_cancel_futures_wait_false": (
        "expects that a call has started when submit() returns; corrected in CPython issue 116682"
    ),
}

try:
    CASES, UNAVAILABLE = suite.load(), ""
except suite.Unavailable as error:
    CASES, UNAVAILABLE = [], str(error)

FAIR = [case for case in CASES if case.name not in SENSELESS | LATER]


def marked(case: Case) -> object:
    """The case as a parameter, with its marks and a readable id."""
    marks = [pytest.mark.timeout(60)]
    if case.again:
        marks.append(pytest.mark.full)
    if case.name in CONTRADICTED:
        marks.append(pytest.mark.xfail(reason=CONTRADICTED[case.name], strict=False))
    return pytest.param(case, id=f"{case.executor}-{case.name}", marks=marks)


def test_suite_is_complete() -> None:
    """A suite that shrinks, or a list that no longer fits, must not pass in silence."""
    if UNAVAILABLE and "CI" not in os.environ:
        pytest.skip(UNAVAILABLE)
    assert not UNAVAILABLE
    once = [case.name for case in CASES if not case.again]

    assert len(once) == len(set(once))
    if sys.version_info[:2] == (3, 11):
        assert len(once) == 93
        assert len(SENSELESS) == 26
        assert SENSELESS.keys() <= set(once)


@pytest.mark.parametrize("case", [marked(case) for case in FAIR])
def test_cpython(case: Case) -> None:
    """Each is a promise that the standard library keeps to its users."""
    test = case.test_class(case.method)
    try:
        # Some tests read what logging writes to stderr when nobody has set it up, as pytest does.
        with mock.patch.object(logging.getLogger(), "handlers", []):
            test.debug()
    except unittest.SkipTest as skipped:
        pytest.skip(str(skipped))
    finally:
        # A failed test skips its own tearDown.
        if (executor := getattr(test, "executor", None)) is not None:
            executor.shutdown(wait=False, cancel_futures=True)
