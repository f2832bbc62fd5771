"""What no argument says: the environment comes first, then the project's file, then a default."""

from pathlib import Path

import pytest

from distexec.settings import Settings, describe_settings, variables


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's file, with the current folder below it and nothing in the environment."""
    for name in variables():
        if name.startswith("DISTEXEC_"):
            monkeypatch.delenv(name, raising=False)
    (tmp_path / "src").mkdir()
    monkeypatch.chdir(tmp_path / "src")
    return tmp_path / "pyproject.toml"


def write(path: Path, *lines: str) -> None:
    path.write_text("\n".join(["[project]", "name = 'p'", "[tool.distexec]", *lines]))


def test_environment_comes_before_the_project(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One run can differ from what the project says, without a change to its files."""
    write(project, "beat_seconds = 2", "linger_seconds = 3", "url = 'redis://localhost'")
    monkeypatch.setenv("DISTEXEC_BEAT_SECONDS", "4")

    settings = Settings.from_environment()

    assert (settings.beat_seconds, settings.linger_seconds) == (4.0, 3.0)
    assert settings.connect_seconds == Settings().connect_seconds
    assert variables()["DISTEXEC_URL"] == "redis://localhost"
    rows = {name: (value, source) for name, value, source in describe_settings()}
    assert rows["beat_seconds"] == ("4", "$DISTEXEC_BEAT_SECONDS")
    assert rows["linger_seconds"] == ("3", str(project))
    assert rows["connect_seconds"] == ("5", "default")
    assert rows["url"] == ("redis://localhost", str(project))


def test_given_environment_is_the_whole_truth(project: Path) -> None:
    """A node is told what holds; what lies in its folder does not change that."""
    write(project, "beat_seconds = 2")

    assert Settings.from_environment({}) == Settings()


def test_change_of_the_file_is_seen(project: Path) -> None:
    """A notebook runs for days."""
    write(project, "beat_seconds = 2")
    assert Settings.from_environment().beat_seconds == 2.0

    write(project, "beat_seconds = 20")

    assert Settings.from_environment().beat_seconds == 20.0


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("beat_second = 2", "did you mean 'beat_seconds'"),
        ("colour = 'red'", "it knows url, broker, beat_seconds"),
        ("beat_seconds = 'two'", "must be a number of seconds, not 'two'"),
        ("beat_seconds = 0", "must be a positive, finite number"),
        ("secret = 'abc'", "must not hold a secret"),
        ("beat_seconds = ", "cannot be read"),
    ],
)
def test_mistakes_in_the_file_are_named(project: Path, line: str, said: str) -> None:
    """A misspelt name that is ignored costs an afternoon; a secret that is accepted costs more."""
    write(project, line)

    with pytest.raises(ValueError, match=said):
        Settings.from_environment()


def test_other_tools_tables_are_left_alone(project: Path) -> None:
    """The migration tool has its own table below ours, and most projects have neither."""
    write(project, "[tool.distexec.migrate]", "ignore = ['DX101']")
    assert Settings.from_environment() == Settings()

    project.write_text("this is not TOML, and nobody asked us")
    assert Settings.from_environment() == Settings()
