"""Object storage, on a real S3 server."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
from support.virtual_s3 import virtual_s3

from darkroom_contract.outcome import Reason
from darkroom_runner.errors import InvalidRunError, translate
from darkroom_runner.run.storage import Storage
from darkroom_runner.settings import Settings

BUCKET = "darkroom"


def test_an_uploaded_file_is_downloaded_unchanged(storage: Storage, tmp_path: Path, s3: Any) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(bytes(range(256)) * 20_000)

    digest = storage.upload("runs/1/file.bin", source, "application/octet-stream")
    storage.download(BUCKET, "runs/1/file.bin", target)

    assert target.read_bytes() == source.read_bytes()
    assert digest == hashlib.sha256(source.read_bytes()).hexdigest()
    assert s3.head_object(Bucket=BUCKET, Key="runs/1/file.bin")["Metadata"] == {"sha256": digest}


def test_reading_a_missing_object_returns_none(storage: Storage) -> None:
    assert storage.read("no/such/object.json") is None


def test_a_listing_is_sorted_and_excludes_subfolders(storage: Storage) -> None:
    for key in ("listing/b", "listing/a", "listing/below/c", "listing-beside/d"):
        storage.write(key, b"content", "text/plain")

    assert [each.name for each in storage.list_folder(BUCKET, "listing/")] == ["a", "b"]


def test_a_full_disk_is_recognised(storage: Storage) -> None:
    storage.write("large", bytes(1000), "text/plain")

    with pytest.raises(OSError, match="No space left") as failure:
        storage.download(BUCKET, "large", Path("/dev/full"))

    assert translate(failure.value).reason is Reason.DISK_FULL


def test_storage_with_virtual_hosted_addressing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    back = tmp_path / "back"
    with virtual_s3(monkeypatch) as server:
        storage = Storage(
            settings(DARKROOM_S3_ENDPOINT_URL=server.endpoint_url, DARKROOM_S3_ADDRESSING_STYLE="virtual")
        )
        storage.write("folder/a", b"content", "text/plain")
        assert [each.name for each in storage.list_folder(BUCKET, "folder/")] == ["a"]
        storage.download(BUCKET, "folder/a", back)
    assert back.read_bytes() == b"content"
    assert server.hosts == {f"{BUCKET}.{server.endpoint_url.removeprefix('http://')}"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DARKROOM_S3_ENDPOINT_URL", "https://example.com/s3"),
        ("DARKROOM_S3_ENDPOINT_URL", "minio:9000"),
        ("DARKROOM_S3_ADDRESSING_STYLE", "host"),
    ],
)
def test_an_invalid_address_names_its_variable(name: str, value: str) -> None:
    with pytest.raises(InvalidRunError, match=name):
        settings(**{name: value})


def settings(**environment: str) -> Settings:
    return Settings.from_environment({"DARKROOM_RUN": "{}", "DARKROOM_S3_BUCKET": BUCKET, **environment})
