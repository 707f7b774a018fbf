"""Content Credentials (C2PA): signs images and clips with the deployment's certificate, when one is mounted.

`lifecycle` loads them before anything else of a run, so that a certificate that can't sign fails the run in its first
second, not after the images were generated; `result_files` signs every image and clip before its upload. A configured
signature is never left out: what can't be signed fails the run with `SigningFailed`.

Library: c2pa-python (the C2PA SDK in Rust), an optional package: the extra `c2pa`.
"""

import io
import struct
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_runner.errors import SigningFailedError, first_line, is_disk_full
from darkroom_runner.settings import Settings

_ALGORITHMS_BY_CURVE = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
GENERATED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
"""IPTC's digital source type of media that a model made alone."""
GENERATED_FROM_PICTURE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
"""Made by a model from an existing picture: image to image, inpainting, and clips of the user's own picture."""


@dataclass(frozen=True)
class ContentCredentials:
    """A certificate chain and its key, which have signed a trial image."""

    certificates: bytes
    """PEM: the signer's certificate first, then those that issued it."""
    key: bytes
    """PEM, PKCS #8."""
    algorithm: str
    timestamp_url: str | None
    version: str
    """Of Darkroom, for the manifest."""

    def sign(self, path: Path, content_type: str, source_type: str) -> None:
        """Replace a file by its signed copy. `source_type`: IPTC's URI of its digital source type.

        Raises `SigningFailedError`; a full disk stays an `OSError`.
        """
        signed = io.BytesIO()
        with path.open("rb") as source:
            self._sign(source, signed, content_type, source_type, path.name)
        path.write_bytes(signed.getvalue())

    def _sign(self, source: Any, target: io.BytesIO, content_type: str, source_type: str, title: str) -> None:
        import c2pa

        manifest = _manifest(title, source_type, self.version)
        url = self.timestamp_url.encode() if self.timestamp_url else None
        info = c2pa.C2paSignerInfo(
            alg=self.algorithm.encode(), sign_cert=self.certificates, private_key=self.key, ta_url=url
        )
        try:
            with c2pa.Signer.from_info(info) as signer, c2pa.Builder(manifest) as builder:
                builder.sign(signer, content_type, source, target)
        except c2pa.C2paError as error:
            if is_disk_full(error):
                raise
            raise SigningFailedError(f"{title} can't be signed: {first_line(error)}. {_ADVICE}") from error


def job_source_type(spec: GenerateJobSpec | None, *, is_clip: bool) -> str:
    """IPTC's digital source type of a file of a job, from its spec; None: a training, whose images have no start
    picture."""
    pictures = () if spec is None else (spec.start_image, spec.video.start_image if is_clip else None)
    return GENERATED_FROM_PICTURE if any(pictures) else GENERATED


_ADVICE = (
    "Check DARKROOM_C2PA_CERTIFICATE, a PEM chain that starts with the signer's certificate and has not expired, "
    "and DARKROOM_C2PA_KEY, its key (in the chart: runner.c2pa.secretName)."
)


def load_credentials(settings: Settings, version: str) -> ContentCredentials | None:
    """Read certificate and key, and sign a trial image with them; None if none are configured.

    Raises `SigningFailedError`: for a missing package, unreadable files, a certificate that is not valid now, and one
    that C2PA does not accept, such as a self-signed one.
    """
    if settings.c2pa_certificate is None or settings.c2pa_key is None:
        return None
    _require_package()
    certificates = _read(settings.c2pa_certificate)
    _require_valid_now(certificates)
    key, algorithm = _read_key(settings.c2pa_key)
    credentials = ContentCredentials(certificates, key, algorithm, settings.c2pa_timestamp_url, version)
    credentials._sign(io.BytesIO(_pixel()), io.BytesIO(), "image/png", GENERATED, "A trial image")
    return credentials


def _require_package() -> None:
    try:
        import c2pa  # noqa: F401
        import cryptography  # noqa: F401
    except ImportError as error:
        raise SigningFailedError(
            "Images can't be signed: the package c2pa-python is missing. Use an image that has it "
            "(Darkroom's extra c2pa), or unset DARKROOM_C2PA_CERTIFICATE."
        ) from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SigningFailedError(
            f"Images can't be signed: {path} can't be read ({error.strerror}). {_ADVICE}"
        ) from error


def _require_valid_now(certificates: bytes) -> None:
    from cryptography import x509

    try:
        chain = x509.load_pem_x509_certificates(certificates)
    except ValueError as error:
        raise SigningFailedError(f"Images can't be signed: the certificate is not PEM. {_ADVICE}") from error
    if chain[0].issuer == chain[0].subject:
        raise SigningFailedError(f"Images can't be signed: the certificate is self-signed. {_ADVICE}")
    now = datetime.now(UTC)
    for each in chain:
        start, end = each.not_valid_before_utc, each.not_valid_after_utc
        if not start <= now <= end:
            raise SigningFailedError(
                f"Images can't be signed: the certificate of {each.subject.rfc4514_string()} is valid from "
                f"{start:%Y-%m-%d} to {end:%Y-%m-%d}. Renew it."
            )


def _read_key(path: Path) -> tuple[bytes, str]:
    """The key as PKCS #8, which the SDK needs (openssl and cert-manager also write other forms), and its algorithm."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    try:
        key = serialization.load_pem_private_key(_read(path), password=None)
    except (ValueError, TypeError) as error:
        raise SigningFailedError(f"Images can't be signed: the key is not PEM without password. {_ADVICE}") from error
    match key:
        case ec.EllipticCurvePrivateKey() if key.curve.name in _ALGORITHMS_BY_CURVE:
            algorithm = _ALGORITHMS_BY_CURVE[key.curve.name]
        case rsa.RSAPrivateKey():
            algorithm = "ps256"
        case ed25519.Ed25519PrivateKey():
            algorithm = "ed25519"
        case _:
            raise SigningFailedError(
                "Images can't be signed: use a key for ECDSA (P-256, P-384, P-521), Ed25519 or RSA (2048 bits or more)."
            )
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return pem, algorithm


def _manifest(title: str, source_type: str, version: str) -> dict[str, Any]:
    """One action, "created", with the digital source type (C2PA 2.2, 18.15)."""
    agent = {"name": "Darkroom", "version": version}
    action = {"action": "c2pa.created", "digitalSourceType": source_type, "softwareAgent": agent}
    return {
        "claim_generator_info": [agent],
        "title": title,
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [action]}}],
    }


def _pixel() -> bytes:
    """A PNG of one black pixel."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(4))) + chunk(b"IEND", b"")
