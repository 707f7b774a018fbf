"""Ports and credentials of a local cluster, chosen at its first start, in `cluster.json`. Used by `StateDir`."""

import base64
import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from darkroom_local.errors import LocalError
from darkroom_local.processes.ports import free_ports
from darkroom_local.state.private_files import write_private

VERSION = 1
"""Of the state directory's format. Raise it with a change that an older release can't read; another port or credential
is not one."""


@dataclass(frozen=True)
class Ports:
    """One loopback port per server."""

    apiserver: int
    redis: int
    s3: int
    node: int
    operator: int
    gateway: int


@dataclass(frozen=True)
class Credentials:
    """Random secrets of one cluster."""

    api_token: str
    s3_access_key: str
    s3_secret_key: str
    redis_password: str
    webhook_secret: str
    """In the form of the Standard Webhooks convention."""


@dataclass(frozen=True)
class ClusterSettings:
    """What was chosen at the first start."""

    ports: Ports
    credentials: Credentials


def load_or_choose(path: Path, gateway_port: int | None = None) -> ClusterSettings:
    """The settings in the file, which is written when it is missing; `gateway_port` replaces the port in it.

    Raises `LocalError` when the file is damaged or was written by a newer release, `OSError` when it is inaccessible.
    """
    known = read_document(path)
    settings = ClusterSettings(_choose_ports(), choose_credentials()) if known is None else parse(known)
    if gateway_port is not None:
        settings = replace(settings, ports=replace(settings.ports, gateway=gateway_port))
    document = {"version": VERSION, **asdict(settings)}
    if document != known:
        write_private(path, json.dumps(document, indent=2) + "\n")
    return settings


def read_document(path: Path) -> dict[str, Any] | None:
    """The validated content of the file, or None when it does not exist."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        version = document.get("version", 1)  # Release 0.1.0 wrote none.
        if version > VERSION:
            raise LocalError(
                f"{path.parent} was written by a newer release of Darkroom (its version is {version}; this release "
                f"reads versions up to {VERSION}): use that release, or choose another directory"
            )
        parse(document)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LocalError(f"{path} is damaged ({error!r}): delete it to choose new ports and credentials") from error
    return dict(document)


def parse(document: Mapping[str, Any]) -> ClusterSettings:
    """Ignores a port or credential of a later release, and chooses a missing one."""
    return ClusterSettings(
        Ports(**_section(document["ports"], asdict(_choose_ports()), int)),
        Credentials(**_section(document["credentials"], asdict(choose_credentials()), str)),
    )


def _section(section: Mapping[str, Any], defaults: Mapping[str, Any], kind: type) -> dict[str, Any]:
    """Raises `TypeError` for a value of the wrong type."""
    values = {name: section.get(name, value) for name, value in defaults.items()}
    wrong = [name for name, value in values.items() if type(value) is not kind]
    if wrong:
        raise TypeError(f"{wrong[0]} is not of type {kind.__name__}")
    return values


def _choose_ports() -> Ports:
    names = [field.name for field in fields(Ports)]
    return Ports(**dict(zip(names, free_ports(len(names)), strict=True)))


def choose_credentials() -> Credentials:
    """Random ones."""
    return Credentials(
        api_token=secrets.token_urlsafe(32),
        s3_access_key="DARKROOM" + secrets.token_hex(6).upper(),
        s3_secret_key=secrets.token_urlsafe(30),
        redis_password=secrets.token_urlsafe(24),
        webhook_secret="whsec_" + base64.b64encode(secrets.token_bytes(32)).decode(),
    )
