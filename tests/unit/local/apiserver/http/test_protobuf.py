"""Protobuf bodies of kubectl, byte by byte."""

import pytest

from darkroom_local.apiserver.http.protobuf import MAGIC, UnreadableError, read


def field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2, len(content)]) + content


def envelope(kind: str, raw: bytes) -> bytes:
    identity = field(1, b"v1") + field(2, kind.encode())
    return MAGIC + field(1, identity) + field(2, raw) + field(3, b"") + field(4, b"")


def entry(key: bytes, value: bytes) -> bytes:
    return field(1, key) + field(2, value)


def test_secret_is_decoded() -> None:
    metadata = field(1, b"s") + field(3, b"default") + field(11, entry(b"app", b"x"))
    body = envelope("Secret", field(1, metadata) + field(2, entry(b"k", b"value")) + field(3, b"Opaque"))
    assert read(body) == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s", "namespace": "default", "labels": {"app": "x"}},
        "data": {"k": "dmFsdWU="},
        "type": "Opaque",
    }


def test_unsupported_fields_are_skipped() -> None:
    metadata = field(1, b"n") + bytes([7 << 3 | 0, 0x96, 0x01]) + field(8, b"\x08\x00") + bytes([9 << 3 | 1]) + bytes(8)
    assert read(envelope("Namespace", field(1, metadata)))["metadata"] == {"name": "n"}


def test_empty_string_is_omitted() -> None:
    assert read(envelope("Namespace", field(1, field(1, b"n") + field(2, b""))))["metadata"] == {"name": "n"}


def test_boolean_and_empty_map_value_are_decoded() -> None:
    body = envelope("ConfigMap", field(1, field(1, b"c")) + field(2, field(1, b"k")) + bytes([4 << 3, 1]))
    assert read(body) == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "c"},
        "data": {"k": ""},
        "immutable": True,
    }


def test_unsupported_kind_is_rejected_with_advice() -> None:
    with pytest.raises(UnreadableError, match="kubectl apply -f"):
        read(envelope("Deployment", b""))


@pytest.mark.parametrize("rest", [b"", b"\x0a\xff", b"\xff\xff\xff", b"\x0b", b"\x08\x01"])
def test_malformed_bytes_are_rejected(rest: bytes) -> None:
    with pytest.raises(UnreadableError):
        read(MAGIC + rest)
