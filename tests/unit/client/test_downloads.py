"""Downloads: checked, never over existing files, and without the key for other hosts."""

import hashlib
from pathlib import Path

import pytest
from support.scripted_gateway import ScriptedGateway, content, document, job, problem, scripted_gateway

from darkroom_client import Artifact, Darkroom, Job
from darkroom_client.downloads import safe_name
from darkroom_client.errors import DownloadError

PICTURE = b"a picture" * 1000


def artifact(url: str, **changes: object) -> Artifact:
    sha256 = hashlib.sha256(PICTURE).hexdigest()
    return Artifact.model_validate(
        {"name": "a.png", "role": "image", "url": url, "bytes": len(PICTURE), "sha256": sha256, **changes}
    )


@pytest.fixture
def storage():
    """Object storage: another host than the gateway."""
    with scripted_gateway() as server:
        server.script("GET", "/bucket/a.png", content(PICTURE))
        yield server


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def test_file_is_saved_once_and_storage_gets_no_key(darkroom: Darkroom, storage, tmp_path: Path) -> None:
    found = artifact(f"{storage.url}/bucket/a.png")
    assert darkroom.download_file(found, tmp_path / "out").read_bytes() == PICTURE
    assert darkroom.download_file(found, tmp_path / "out") == tmp_path / "out" / "a.png"
    [request] = storage.requests
    assert "authorization" not in request.headers


def test_existing_file_of_other_content_is_kept(darkroom: Darkroom, storage, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("mine")
    (tmp_path / "a-2.png").write_text("mine too")
    path = darkroom.download_file(artifact(f"{storage.url}/bucket/a.png"), tmp_path)
    assert path == tmp_path / "a-3.png"
    assert (tmp_path / "a.png").read_text() == "mine"
    assert path.read_bytes() == PICTURE
    assert darkroom.download_file(artifact(f"{storage.url}/bucket/a.png"), tmp_path) == path
    assert names(tmp_path) == ["a-2.png", "a-3.png", "a.png"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"sha256": "0" * 64}, r"a\.png arrived damaged"), ({"bytes": 5}, r"a\.png has 9000 bytes, not 5")],
)
def test_file_that_is_not_the_announced_one_is_not_saved(
    darkroom: Darkroom, storage, tmp_path: Path, changes, message
) -> None:
    with pytest.raises(DownloadError, match=message):
        darkroom.download_file(artifact(f"{storage.url}/bucket/a.png", **changes), tmp_path / "out")
    assert names(tmp_path / "out") == []


def test_broken_download_is_repeated(darkroom: Darkroom, storage, tmp_path: Path) -> None:
    storage.script("GET", "/bucket/a.png", content(PICTURE[:100], announced=len(PICTURE)), content(PICTURE))
    path = darkroom.download_file(artifact(f"{storage.url}/bucket/a.png"), tmp_path / "out")
    assert path.read_bytes() == PICTURE
    assert names(tmp_path / "out") == ["a.png"]


def test_expired_link_is_replaced_by_a_fresh_one(
    gateway: ScriptedGateway, darkroom: Darkroom, storage, tmp_path: Path
) -> None:
    storage.script("GET", "/bucket/expired.png", problem(403, "AccessDenied"))
    fresh = artifact(f"{storage.url}/bucket/a.png").model_dump(mode="json")
    stale = {**fresh, "url": f"{storage.url}/bucket/expired.png"}
    gateway.script("GET", "/v1/jobs/train-a", document(job(status="Succeeded", artifacts=[fresh])))
    [path] = darkroom.download(Job.model_validate(job(status="Succeeded", artifacts=[stale])), tmp_path / "out")
    assert path.read_bytes() == PICTURE


def test_address_of_the_gateway_is_read_with_the_key_that_a_redirect_does_not_get(
    gateway: ScriptedGateway, darkroom: Darkroom, storage, tmp_path: Path
) -> None:
    gateway.script("GET", "/v1/files/a.png", content(b"", 307, Location=f"{storage.url}/bucket/a.png"))
    assert darkroom.download_file(artifact("/v1/files/a.png"), tmp_path / "out").read_bytes() == PICTURE
    assert gateway.requests[0].headers["authorization"] == "Bearer secret-key"
    assert "authorization" not in storage.requests[0].headers


def test_presigned_link_below_the_address_of_the_gateway_gets_no_key(
    gateway: ScriptedGateway, darkroom: Darkroom, tmp_path: Path
) -> None:
    gateway.script("GET", "/bucket/a.png", content(PICTURE))
    darkroom.download_file(artifact(f"{gateway.url}/bucket/a.png?X-Amz-Signature=5e"), tmp_path / "out")
    assert "authorization" not in gateway.requests[0].headers


@pytest.mark.parametrize("url", ["http://h:abc/a.png", "http://[::1/a.png"])
def test_link_that_is_no_address_is_named(darkroom: Darkroom, tmp_path: Path, url: str) -> None:
    with pytest.raises(DownloadError, match="which is no address"):
        darkroom.download_file(artifact(url), tmp_path)


@pytest.mark.parametrize("name", ["a/../.bashrc", ".hidden", "..", "", "a\nb", "x" * 300])
def test_names_that_are_no_plain_file_names_are_refused(name: str) -> None:
    with pytest.raises(DownloadError, match="no plain file name"):
        safe_name(f"folder/{name}" if name.startswith(".") else name)


def test_only_the_last_segment_of_a_name_is_used() -> None:
    assert safe_name("../../etc/passwd") == "passwd"
    assert safe_name("C:\\images\\a.png") == "a.png"
