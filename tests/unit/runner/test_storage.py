"""The door to object storage, on a real S3 server."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from darkroom_contract.outcome import Reason
from darkroom_runner.errors import translate
from darkroom_runner.storage import Storage

BUCKET = "darkroom"


def test_a_file_comes_back_as_it_went(storage: Storage, tmp_path: Path, s3: Any) -> None:
    there, back = tmp_path / "there", tmp_path / "back"
    there.write_bytes(bytes(range(256)) * 20_000)

    digest = storage.upload("runs/1/file.bin", there, "application/octet-stream")
    storage.download(BUCKET, "runs/1/file.bin", back)

    assert back.read_bytes() == there.read_bytes()
    assert digest == hashlib.sha256(there.read_bytes()).hexdigest()
    assert s3.head_object(Bucket=BUCKET, Key="runs/1/file.bin")["Metadata"] == {"sha256": digest}


def test_an_absent_object_is_an_answer_not_an_error(storage: Storage) -> None:
    assert storage.read("there/is/nothing.json") is None


def test_a_listing_has_what_lies_right_in_the_folder_sorted(storage: Storage) -> None:
    for key in ("listing/b", "listing/a", "listing/below/c", "listing-beside/d"):
        storage.write(key, b"content", "text/plain")

    assert [each.name for each in storage.list_folder(BUCKET, "listing/")] == ["a", "b"]


def test_a_disk_that_is_full_is_told_as_such(storage: Storage) -> None:
    storage.write("large", bytes(1000), "text/plain")

    with pytest.raises(OSError, match="No space left") as failure:
        storage.download(BUCKET, "large", Path("/dev/full"))

    assert translate(failure.value).reason is Reason.DISK_FULL
