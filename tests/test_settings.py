"""What no argument says: the environment comes first, then the project's file, then a default."""

from pathlib import Path

import pytest

from distexec.settings import (
    Settings,
    WorkerOptions,
    describe_settings,
    read_size,
    variables,
)


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
        ("worker_slot = 2", "did you mean 'worker_slots'"),
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


def test_worker_options_come_from_the_same_places(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A unit file, a container's environment and a project's file say the same things."""
    write(project, "worker_queues = ['gpu:3', 'cpu']", "worker_slots = 4", "worker_autoscale='2,8'")
    monkeypatch.setenv("DISTEXEC_WORKER_MEMORY_PER_CHILD", "512M")
    monkeypatch.setenv("DISTEXEC_WORKER_REMOTE_CONTROL", "yes")

    options = WorkerOptions.from_environment()

    assert options == WorkerOptions(
        queues={"gpu": 3, "cpu": 1},
        slots=4,
        autoscale=(2, 8),
        memory_per_child=512 * 2**20,
        remote_control=True,
    )
    assert options.slots_at_start == 4
    rows = {name: (value, source) for name, value, source in describe_settings()}
    assert rows["worker_queues"] == ("gpu:3,cpu", str(project))
    assert rows["worker_memory_per_child"] == ("512M", "$DISTEXEC_WORKER_MEMORY_PER_CHILD")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("SLOTS", "0", "'0' is no whole number from 1"),
        ("POOL", "gevent", "none of prefork, threads"),
        ("AUTOSCALE", "4", "'' is no whole number"),
        ("REMOTE_CONTROL", "maybe", "neither true nor false"),
        ("QUEUES", "a b", "'a b' is no name"),
    ],
)
def test_worker_option_that_cannot_be_is_named(name: str, text: str, said: str) -> None:
    """The variable is in the message: there are several places where it may stand."""
    with pytest.raises(ValueError, match=f"DISTEXEC_WORKER_{name}: .*{said}"):
        WorkerOptions.from_environment({f"DISTEXEC_WORKER_{name}": text})


@pytest.mark.parametrize(
    ("text", "size"),
    [("1000", 1000), ("2k", 2048), ("1.5M", 3 * 2**19), ("2GiB", 2**31), ("1 TB", 2**40)],
)
def test_sizes_are_read_as_people_write_them(text: str, size: int) -> None:
    """Bytes in full are wrong by a digit sooner or later."""
    assert read_size(text) == size
