"""A secret that others can read is no secret, and a wrong one is told at once."""

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distexec.errors import SecretError
from distexec.wire import secret


@given(st.binary(min_size=16, max_size=64), st.binary(min_size=16, max_size=64))
def test_text_form_keeps_every_secret(first: bytes, second: bytes) -> None:
    """Any bytes, several of them, with the separators that people type."""
    text = f" {secret.to_text(first)} ,\n{secret.to_text(second)}\n"

    assert secret.from_text(text) == (first, second)


def test_generated_secrets_are_long_and_differ() -> None:
    """32 random bytes: as strong as the signature."""
    assert len(secret.generate()) == 32
    assert secret.generate() != secret.generate()


def test_places_are_searched_in_their_order(tmp_path: Path) -> None:
    """The key beside a socket is that cluster's own; the others go from near to far."""
    home, beside = tmp_path / "home", tmp_path / "run"
    at_home = secret.write(home / ".config" / "distexec" / secret.FILE_NAME)
    at_socket = secret.write(beside / secret.FILE_NAME)
    in_file = secret.write(tmp_path / "named")
    in_variable = secret.generate()
    environment = {"HOME": str(home)}

    assert secret.load(environment) == (at_home,)
    environment["DISTEXEC_SECRET_FILE"] = str(tmp_path / "named")
    assert secret.load(environment, beside=tmp_path) == (in_file,)
    environment["DISTEXEC_SECRET"] = secret.to_text(in_variable)
    assert secret.load(environment, beside=tmp_path) == (in_variable,)
    assert secret.load(environment, beside=beside) == (at_socket,)


def test_no_place_is_not_an_error(tmp_path: Path) -> None:
    """The embedded cluster makes its own secret; an empty variable is an unset one."""
    assert secret.load({"HOME": str(tmp_path), "DISTEXEC_SECRET": ""}, beside=tmp_path) is None


def test_a_written_file_is_for_us_alone(tmp_path: Path) -> None:
    """From its first byte on: it is created with its mode, not changed to it."""
    path = tmp_path / "new" / "secret.key"

    written = secret.write(path)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert secret.read(path) == (written,)


def test_an_existing_secret_is_never_replaced(tmp_path: Path) -> None:
    """A running cluster would refuse everybody from then on."""
    written = secret.write(tmp_path / "key")

    with pytest.raises(SecretError, match="exists already"):
        secret.write(tmp_path / "key")
    assert secret.read(tmp_path / "key") == (written,)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o620, 0o601])
def test_a_file_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    """Whoever can read it can run code on every node; the error says how to close it."""
    path = tmp_path / "key"
    secret.write(path)
    path.chmod(mode)

    with pytest.raises(SecretError, match=f"mode {mode:o}.*chmod 600 {path}"):
        secret.load({"DISTEXEC_SECRET_FILE": str(path)})


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    """Its owner chose the secret, and knows it."""
    secret.write(tmp_path / "key")
    os.chown(tmp_path / "key", 12345, -1)

    with pytest.raises(SecretError, match="belongs to another user"):
        secret.read(tmp_path / "key")


def test_a_pipe_in_its_place_is_refused_without_waiting(tmp_path: Path) -> None:
    """Opening a pipe waits for its writer: starting a program must not."""
    os.mkfifo(tmp_path / "key", 0o600)

    with pytest.raises(SecretError, match="not a regular file"):
        secret.read(tmp_path / "key")


@pytest.mark.parametrize(
    "text", ["", "  \n", "hunter2", "c2hvcnQ", "päßwort", "a" * 43 + "!", secret.to_text(b"x" * 15)]
)
def test_a_bad_secret_is_refused_and_not_shown(text: str) -> None:
    """The error goes to logs; it says where the text was and how to make a good one."""
    with pytest.raises(SecretError, match=r"THE VARIABLE.*distexec keygen") as caught:
        secret.from_text(text, "THE VARIABLE")
    assert not text.strip() or text.strip() not in str(caught.value)


def test_missing_and_unreadable_files_are_named(tmp_path: Path) -> None:
    """A file that was asked for and is not there must not fall through to another secret."""
    with pytest.raises(SecretError, match=f"{tmp_path}/nowhere"):
        secret.load({"DISTEXEC_SECRET_FILE": str(tmp_path / "nowhere")})
    (tmp_path / "noise").write_bytes(b"\xff" * 70_000)
    (tmp_path / "noise").chmod(0o600)
    with pytest.raises(SecretError, match="distexec keygen"):
        secret.read(tmp_path / "noise")
