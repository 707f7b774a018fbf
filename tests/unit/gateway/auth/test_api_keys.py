"""The folder of API keys: validation at startup, and reloading after changes."""

import logging
import os
from pathlib import Path

import pytest

from darkroom_gateway.auth.api_keys import CHECK_SECONDS, ApiKeys
from darkroom_gateway.errors import SettingsError

ALICE, BOB = b"alice-has-a-long-key", b"bob-has-another-one!"


class Clock:
    """A clock that tests advance."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds

    def go_on(self) -> None:
        self.seconds += CHECK_SECONDS


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "keys"
    folder.mkdir()
    (folder / "alice").write_bytes(ALICE)
    return folder


def mount(folder: Path, version: str, **keys: bytes) -> None:
    """Write keys into a folder as a kubelet does: atomically, by replacing a symbolic link."""
    data = folder / f"..{version}"
    data.mkdir()
    for name, key in keys.items():
        (data / name).write_bytes(key)
    (folder / "..data_tmp").symlink_to(data.name)
    (folder / "..data_tmp").rename(folder / "..data")
    for link in folder.iterdir():
        if not link.name.startswith("..") and link.name not in keys:
            link.unlink()
    for name in keys:
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(Path("..data") / name)


def test_key_has_its_file_name_and_surrounding_white_space_is_stripped(folder: Path) -> None:
    (folder / "bob").write_bytes(b"  " + BOB + b"\r\n")
    keys = ApiKeys(folder)

    assert (keys.name_of(ALICE), keys.name_of(BOB), keys.names) == ("alice", "bob", ["alice", "bob"])


@pytest.mark.parametrize(
    "key", [b"", b"alice", ALICE[:-1], ALICE + b"x", ALICE.upper(), "älice-has-a-long-key".encode()]
)
def test_similar_keys_are_not_accepted(folder: Path, key: bytes) -> None:
    assert ApiKeys(folder).name_of(key) is None


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("bob", b"x" * 15, "The key bob has 15 characters: use at least 16"),
        ("bob", b" \n", "The key bob has 0 characters"),
        ("bob", b"two words in one key", "bob can't be sent in a header"),
        ("bob", "schlüssel-mit-umlaut".encode(), "bob can't be sent in a header"),
        ("bob", ALICE, "The keys bob and alice are the same"),
        ("-bob", BOB, "'-bob' can't be the name of a key"),
        (".hidden", BOB, "'.hidden' can't be the name of a key"),
        ("b" * 64, BOB, "1 to 63 letters"),
        ("bob smith", BOB, "'bob smith' can't be the name"),
    ],
)
def test_unusable_file_is_named_at_startup(folder: Path, name: str, content: bytes, words: str) -> None:
    (folder / name).write_bytes(content)

    with pytest.raises(SettingsError, match="DARKROOM_GATEWAY_API_KEYS_DIR") as refusal:
        ApiKeys(folder)
    assert words in str(refusal.value)
    assert len(content.strip()) < 16 or content.decode() not in str(refusal.value)


def test_subfolder_is_named_at_startup(folder: Path) -> None:
    (folder / "bob").mkdir()
    with pytest.raises(SettingsError, match="bob is not a file"):
        ApiKeys(folder)


def test_empty_folder_is_refused_at_startup(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="It has no keys"):
        ApiKeys(tmp_path)


@pytest.mark.parametrize(("entry", "words"), [("nowhere", "No such file"), ("alice", "Not a directory")])
def test_missing_folder_is_refused_at_startup(folder: Path, entry: str, words: str) -> None:
    with pytest.raises(SettingsError, match=f"can't be read: {words}"):
        ApiKeys(folder / entry)


def test_keys_of_a_mounted_secret_are_reloaded_without_a_restart(tmp_path: Path, clock: Clock) -> None:
    mount(tmp_path, "first", alice=ALICE)
    keys = ApiKeys(tmp_path, clock)
    mount(tmp_path, "second", alice=BOB, carol=b"carol-is-new-in-here")

    assert keys.name_of(ALICE) == "alice"  # Not reloaded yet.
    clock.go_on()
    assert (keys.name_of(ALICE), keys.name_of(BOB), keys.names) == (None, "alice", ["alice", "carol"])
    mount(tmp_path, "third", carol=b"carol-is-new-in-here")
    clock.go_on()
    assert (keys.name_of(BOB), keys.names) == (None, ["carol"])


def test_file_that_is_overwritten_in_place_is_reloaded(folder: Path, clock: Clock) -> None:
    keys = ApiKeys(folder, clock)
    (folder / "alice").write_bytes(BOB)
    os.utime(folder / "alice", ns=(1, 1))
    clock.go_on()

    assert (keys.name_of(ALICE), keys.name_of(BOB)) == (None, "alice")


def test_folder_that_is_missing_for_a_moment_keeps_the_keys(
    folder: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    keys = ApiKeys(folder, clock)
    folder.rename(folder.with_name("away"))
    for _ in range(3):
        clock.go_on()
        assert keys.name_of(ALICE) == "alice"
    assert [record.getMessage().count("stay valid") for record in caplog.records] == [1]

    folder.with_name("away").rename(folder)
    (folder / "bob").write_bytes(BOB)
    clock.go_on()
    assert keys.name_of(BOB) == "bob"


@pytest.mark.parametrize(("name", "content"), [("bob", b"short"), ("-bob", BOB), ("bob", ALICE)])
def test_unusable_file_is_skipped_on_reload(
    folder: Path, clock: Clock, caplog: pytest.LogCaptureFixture, name: str, content: bytes
) -> None:
    keys = ApiKeys(folder, clock)
    (folder / name).write_bytes(content)
    clock.go_on()

    assert (keys.name_of(ALICE), keys.names) == ("alice", ["alice"])
    clock.go_on()
    assert keys.name_of(content) == ("alice" if content == ALICE else None)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert ALICE.decode() not in caplog.text
    assert BOB.decode() not in caplog.text


def test_repaired_file_is_reloaded(folder: Path, clock: Clock) -> None:
    keys = ApiKeys(folder, clock)
    (folder / "bob").symlink_to(folder / "not-there-yet")
    clock.go_on()
    assert keys.name_of(BOB) is None

    (folder / "bob").unlink()
    (folder / "bob").write_bytes(BOB)
    clock.go_on()
    assert keys.name_of(BOB) == "bob"


def test_no_key_is_valid_after_all_files_are_removed(
    folder: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    keys = ApiKeys(folder, clock)
    (folder / "alice").unlink()
    clock.go_on()

    assert (keys.name_of(ALICE), keys.names) == (None, [])
    assert "It has no keys" in caplog.text


def test_only_the_hash_of_a_key_is_kept_in_memory(folder: Path) -> None:
    assert ALICE.decode() not in repr(vars(ApiKeys(folder)))
