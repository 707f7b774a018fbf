"""Content Credentials: signed images and clips that the C2PA reader validates, and certificates that can't sign."""

import json
import sys
from pathlib import Path
from typing import Any

import av
import c2pa
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from PIL import Image
from support.signing_certificates import signing_files

from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_contract.specs.images import ImageFormat, Images
from darkroom_runner.errors import InvalidRunError, SigningFailedError
from darkroom_runner.run.content_credentials import (
    GENERATED,
    GENERATED_FROM_PICTURE,
    ContentCredentials,
    job_source_type,
    load_credentials,
)
from darkroom_runner.run.result_files import CONTENT_TYPES
from darkroom_runner.sampling.mp4 import write_mp4
from darkroom_runner.sampling.mp4_xmp import append_xmp
from darkroom_runner.sampling.web_ui_samplers import WebUiSampler
from darkroom_runner.settings import Settings
from darkroom_runner.tasks.image_files import save_image
from darkroom_runner.tasks.xmp import xmp_packet

METADATA = {
    "prompt": "a dog", "negativePrompt": "", "seed": 7, "steps": 3, "guidanceScale": 5.0, "scheduler": "default",
    "width": 64, "height": 64, "baseModel": "owner/base", "cache": None, "versions": {"darkroom": "0.1.0"},
}  # fmt: skip


def settings_of(certificate: Path | None, key: Path | None) -> Settings:
    return Settings(run="{}", s3_bucket="darkroom", c2pa_certificate=certificate, c2pa_key=key)


def load(folder: Path, key: Any = None, **options: Any) -> ContentCredentials:
    files = signing_files(folder, key, **options)
    credentials = load_credentials(settings_of(files.certificate, files.key), "0.1.0")
    assert credentials is not None
    return credentials


def read(path: Path) -> tuple[str | None, dict[str, Any]]:
    """The validation state and the active manifest."""
    with path.open("rb") as file, c2pa.Reader(CONTENT_TYPES[path.suffix], file) as reader:
        store = json.loads(reader.json())
        return reader.get_validation_state(), store["manifests"][store["active_manifest"]]


def write(path: Path) -> None:
    if path.suffix == ".mp4":
        write_mp4([Image.new("RGB", (64, 48), (40 * number, 0, 0)) for number in range(3)], path, 7, "{}")
        append_xmp(path, xmp_packet(METADATA))
        return
    kind = next(each for each in ImageFormat if each.suffix == path.suffix)
    save_image(Image.new("RGB", (64, 64), (200, 30, 30)), path, METADATA, Images(format=kind), WebUiSampler("DDIM"))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".avif", ".mp4"])
def test_signed_files_are_valid_and_keep_their_metadata(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"my-dog-seed-7{suffix}"
    write(path)

    load(tmp_path).sign(path, CONTENT_TYPES[suffix], GENERATED)

    state, manifest = read(path)
    assert state == "Valid"
    assert manifest["title"] == path.name
    assert manifest["signature_info"]["common_name"] == "Signer"
    assert "time" not in manifest["signature_info"]
    action = next(each for each in manifest["assertions"] if each["label"] == "c2pa.actions.v2")["data"]["actions"][0]
    assert (action["action"], action["digitalSourceType"]) == ("c2pa.created", GENERATED)
    assert xmp_packet(METADATA) in path.read_bytes()
    if suffix == ".mp4":
        with av.open(str(path)) as container:
            assert len(list(container.decode(video=0))) == 3
    else:
        with Image.open(path) as image:
            image.load()


def test_a_changed_file_is_invalid(tmp_path: Path) -> None:
    path = tmp_path / "image.jpg"
    write(path)
    load(tmp_path).sign(path, "image/jpeg", GENERATED)
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)

    assert read(path)[0] == "Invalid"


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP384R1()),
        ec.generate_private_key(ec.SECP521R1()),
        rsa.generate_private_key(65537, 2048),
    ],
    ids=["P-384", "P-521", "RSA"],
)
def test_keys_of_other_kinds_sign(tmp_path: Path, key: Any) -> None:
    """In OpenSSL's traditional form, as in many Secrets."""
    path = tmp_path / "image.png"
    write(path)

    load(tmp_path, key).sign(path, "image/png", GENERATED)

    assert read(path)[0] == "Valid"


def test_nothing_is_signed_without_a_certificate() -> None:
    assert load_credentials(settings_of(None, None), "0.1.0") is None


def test_certificate_and_key_are_set_together(tmp_path: Path) -> None:
    with pytest.raises(InvalidRunError, match="Set both DARKROOM_C2PA_CERTIFICATE and DARKROOM_C2PA_KEY"):
        settings_of(tmp_path / "tls.crt", None)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SigningFailedError, match=r"tls\.crt can't be read \(No such file or directory\)"):
        load_credentials(settings_of(tmp_path / "tls.crt", tmp_path / "tls.key"), "0.1.0")


def test_an_expired_certificate_fails_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(SigningFailedError, match=r"CN=Signer,O=Test is valid from .* to .*\. Renew it\."):
        load(tmp_path, days=-1)


def test_a_self_signed_certificate_fails_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(SigningFailedError, match=r"the certificate is self-signed"):
        load(tmp_path, self_signed=True)


def test_the_key_of_another_certificate_fails_at_the_start(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    files, others = signing_files(tmp_path), signing_files(other)

    with pytest.raises(SigningFailedError, match="A trial image can't be signed"):
        load_credentials(settings_of(files.certificate, others.key), "0.1.0")


@pytest.mark.parametrize("name", ["tls.crt", "tls.key"])
def test_files_that_are_not_pem_fail_at_the_start(tmp_path: Path, name: str) -> None:
    files = signing_files(tmp_path)
    (tmp_path / name).write_bytes(b"not PEM")

    with pytest.raises(SigningFailedError, match="is not PEM"):
        load_credentials(settings_of(files.certificate, files.key), "0.1.0")


def test_an_unknown_kind_of_key_is_named(tmp_path: Path) -> None:
    files = signing_files(tmp_path, ec.generate_private_key(ec.SECP256K1()))

    with pytest.raises(SigningFailedError, match="use a key for ECDSA"):
        load_credentials(settings_of(files.certificate, files.key), "0.1.0")


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = signing_files(tmp_path)
    monkeypatch.setitem(sys.modules, "c2pa", None)

    with pytest.raises(SigningFailedError, match=r"c2pa-python is missing\. Use an image that has it"):
        load_credentials(settings_of(files.certificate, files.key), "0.1.0")


def test_the_source_type_is_that_of_the_job() -> None:
    start = {"uri": "s3://darkroom/images/default/a/cat.jpg"}

    def source(spec: dict[str, Any], *, is_clip: bool) -> str:
        return job_source_type(GenerateJobSpec.from_dict({"prompt": "a dog", **spec}), is_clip=is_clip)

    assert source({}, is_clip=False) == source({}, is_clip=True) == job_source_type(None, is_clip=False) == GENERATED
    assert source({"startImage": start}, is_clip=False) == GENERATED_FROM_PICTURE
    assert source({"startImage": start}, is_clip=True) == GENERATED_FROM_PICTURE
    assert source({"video": {"startImage": start}}, is_clip=False) == GENERATED
    assert source({"video": {"startImage": start}}, is_clip=True) == GENERATED_FROM_PICTURE
