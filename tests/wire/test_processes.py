"""What only two processes show: whose class it is, and that by-name means the same thing there."""

import subprocess
import sys
import textwrap
from pathlib import Path

import distexec.errors

#: The caller's side of each test: a program, since ``__main__`` is what these tests are about.
HEAD = """
import dataclasses, enum, functools, sys, traceback
from peer import Peer

@dataclasses.dataclass
class Point:
    x: int
    made = 0
    def double(self):
        return Point(self.x * FACTOR)

class Colour(enum.Enum):
    RED = 1
    BLUE = 2

class Failure(Exception):
    def __init__(self, code, *, text):
        super().__init__(text)
        self.code = code

FACTOR = 2
"""


def run(tmp_path: Path, body: str) -> str:
    """Run a program of HEAD and *body*; return what it printed. *body* may end in assertions."""
    program = tmp_path / "program.py"
    program.write_text(HEAD + textwrap.dedent(body))
    source = Path(distexec.errors.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, program],
        env={"PYTHONPATH": f"{Path(__file__).parent}:{source}"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_results_are_of_the_callers_own_classes(tmp_path: Path) -> None:
    """``isinstance`` on a result, and identity of enumeration members, as in a pool of threads."""
    run(
        tmp_path,
        """
        def double(point): return point.double()
        def paint(colour): return Colour.BLUE if colour is Colour.RED else None
        def is_same(point): return type(point) is Point

        with Peer() as peer:
            for x in range(3):
                result = peer.call(double, Point(x))
                assert type(result) is Point and result == Point(2 * x), result
            assert peer.call(is_same, Point(1)) is True
            assert peer.call(paint, Colour.RED) is Colour.BLUE
            assert peer.call(lambda: [Point, Colour]) == [Point, Colour]
        """,
    )


def test_the_callers_classes_are_never_written_to(tmp_path: Path) -> None:
    """cloudpickle alone would set ``made`` back, and give ``double`` other globals."""
    run(
        tmp_path,
        """
        def double(point): return point.double()

        with Peer() as peer:
            method = Point.double
            result = peer.call(double, Point(1))
            Point.made = 5
            late = peer.call(double, Point(1))
            del result, late
            assert Point.made == 5 and Point.double is method
            FACTOR = 10
            assert Point(1).double().x == 10
        """,
    )


def test_the_workers_classes_follow_the_callers(tmp_path: Path) -> None:
    """The newest definition wins there: attributes set later, and a class defined anew."""
    run(
        tmp_path,
        """
        def look(point): return point.made, point.double().x

        with Peer() as peer:
            assert peer.call(look, Point(1)) == (0, 2)
            Point.made, FACTOR = 5, 10
            assert peer.call(look, Point(1)) == (5, 10)
            Point = dataclasses.make_dataclass("Point", ["x"], namespace={
                "made": 7, "double": lambda self: self, "__module__": "__main__"})
            assert peer.call(look, Point(1)) == (7, 1)
            assert type(peer.call(lambda: Point(3))) is Point
        """,
    )


def test_exceptions_of_main_are_caught_by_their_class(tmp_path: Path) -> None:
    """``except Failure`` is the user's code: it must match what the worker raised."""
    run(
        tmp_path,
        """
        def fail(code):
            try:
                raise Failure(code, text="first")
            except Failure as error:
                raise ExceptionGroup("both", [Failure(code + 1, text="second")]) from error

        with Peer() as peer:
            for _ in range(2):
                try:
                    peer.call(fail, 7)
                except* Failure as group:
                    (second,) = group.exceptions
                    first = group.__cause__.__cause__
                    assert (second.code, str(second)) == (8, "second")
                    assert (first.code, str(first)) == (7, "first")
                    frames = traceback.extract_tb(group.__traceback__)
                    assert frames[-1].line.startswith('raise ExceptionGroup("both"'), frames
                else:
                    raise AssertionError
        """,
    )


def test_classes_made_in_the_worker_arrive(tmp_path: Path) -> None:
    """A class that a call defines has no other home; twice the same class is one class here."""
    run(
        tmp_path,
        """
        def make():
            global Local
            if "Local" not in globals():
                class Local:
                    def who(self): return "local"
            return Local()

        with Peer() as peer:
            first, second = peer.call(lambda: [make(), make()])
            assert first.who() == "local" and type(first) is type(second)
        """,
    )


def test_functions_see_their_globals_of_the_moment(tmp_path: Path) -> None:
    """Each submit sends what the program's variables are then, without a word from the user."""
    run(
        tmp_path,
        """
        def helper(x): return x * FACTOR
        def work(x): return helper(x)
        words = []
        def listing(): return words

        with Peer() as peer:
            assert peer.call(work, 1) == 2
            FACTOR = 3
            assert peer.call(work, 1) == 3
            def helper(x): return -x
            assert peer.call(work, 1) == -1
            words.append("new")
            assert peer.call(listing) == ["new"]
            assert peer.call(functools.partial(work, 4)) == -4
            assert peer.call(Point(1).double) == Point(3)
            assert peer.call(max, [1, 3, 2]) == 3
        """,
    )


def test_everyday_decorators_and_types_of_main_arrive(tmp_path: Path) -> None:
    """cloudpickle alone sends half of these by a name that the worker's ``__main__`` has not."""
    run(
        tmp_path,
        """
        import abc, contextlib, typing

        UserId = typing.NewType("UserId", int)
        T = typing.TypeVar("T")
        P = typing.ParamSpec("P")

        @functools.cache
        def fibonacci(n: UserId) -> UserId:
            return n if n < 2 else UserId(fibonacci(n - 1) + fibonacci(n - 2))

        def decorator(function: typing.Callable[P, T]) -> typing.Callable[P, T]:
            @functools.wraps(function)
            def wrapper(*args, **kwargs): return function(*args, **kwargs)
            return wrapper

        @decorator
        def decorated(x): return x + 1

        @functools.singledispatch
        def dispatched(x): return "object"
        @dispatched.register
        def _(x: int): return "int"

        @contextlib.contextmanager
        def managed(): yield 5
        def manage():
            with managed() as value: return value

        class Base(abc.ABC, typing.Generic[T]):
            @abc.abstractmethod
            def area(self): ...
        class Shape(Base[int]):
            @functools.cached_property
            def side(self): return 3
            @functools.lru_cache
            def area(self): return self.side ** 2
            class Inner: pass

        @dataclasses.dataclass(slots=True, frozen=True)
        class Slotted:
            x: int

        with Peer() as peer:
            assert peer.call(fibonacci, 20) == peer.call(lambda: fibonacci(20)) == 6765
            assert peer.call(decorated, 1) == peer.call(lambda: decorator(decorated)(1)) == 2
            assert peer.call(dispatched, 1) == peer.call(lambda: dispatched(1)) == "int"
            assert peer.call(manage) == 5
            assert peer.call(Shape().area) == 9
            assert isinstance(peer.call(lambda: Shape.Inner()), Shape.Inner)
            assert peer.call(Slotted, 3) == Slotted(3)
            assert peer.call(fibonacci.__wrapped__, 3) == 2
        """,
    )


def test_main_of_a_multiprocessing_child_goes_by_value(tmp_path: Path) -> None:
    """There ``__main__`` is called ``__mp_main__``, which is another program in the worker."""
    printed = run(
        tmp_path,
        """
        import multiprocessing

        def work(point): return point.double()

        def child():
            with Peer() as peer:
                result = peer.call(work, Point(4))
                assert type(result) is Point and Point.__module__ == "__mp_main__"
                print(result.x, flush=True)

        if __name__ == "__main__":
            process = multiprocessing.get_context("spawn").Process(target=child)
            process.start()
            process.join()
            sys.exit(process.exitcode)
        """,
    )

    assert printed == "8\n"
