"""docs/guarantees.md promises nothing that no test holds."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

#: ``tests/x.py::test_y`` or a file, as the page names them.
NAMED = re.findall(
    r"`((?:tests|benchmarks)/[\w/]+\.py)(?:::(\w+))?`", (ROOT / "docs/guarantees.md").read_text()
)


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_every_test_that_is_named_is_there(path: str, name: str) -> None:
    """A promise whose test was renamed or removed must be looked at again."""
    text = (ROOT / path).read_text()

    assert not name or re.search(rf"^def {name}\(", text, re.MULTILINE)


def test_the_page_names_tests() -> None:
    """The pattern above finds them."""
    assert len(NAMED) > 20
