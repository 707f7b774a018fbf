"""The gateway's address and the API key: from arguments, the environment, or the configuration file, in this order.

The key is never an argument of the command line, where other users of the machine could read it.
"""

import ipaddress
import json
import os
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from darkroom_client.errors import ConfigurationError

DEFAULT_GATEWAY = "http://127.0.0.1:8000"
GATEWAY_VARIABLE = "DARKROOM_GATEWAY_URL"
KEY_VARIABLE = "DARKROOM_API_KEY"


@dataclass(frozen=True)
class Settings:
    """Where the gateway is, and the key for it."""

    gateway: str = DEFAULT_GATEWAY
    """Without a slash at its end."""
    api_key: str | None = field(default=None, repr=False)


def load_settings(
    gateway: str | None = None, api_key: str | None = None, environment: Mapping[str, str] = os.environ
) -> Settings:
    """Empty variables count as unset; an empty `api_key` means none. Raises `ConfigurationError`."""
    path = config_path(environment)
    address = gateway or environment.get(GATEWAY_VARIABLE) or None
    key = (environment.get(KEY_VARIABLE) or None) if api_key is None else api_key
    stored = _read(path) if address is None or key is None else {}
    if address is None:
        address = _text(stored, "gateway", path) or DEFAULT_GATEWAY
    if key is None and _belongs(stored, address, path):
        key = _text(stored, "api_key", path)
    return Settings(checked_address(address), checked_key(key))


def config_path(environment: Mapping[str, str] = os.environ) -> Path:
    folder = environment.get("XDG_CONFIG_HOME") or Path(environment.get("HOME") or Path.home()) / ".config"
    return Path(folder) / "darkroom" / "config.toml"


def save_settings(settings: Settings, path: Path) -> None:
    """Write the configuration file, readable by its owner only."""
    values = {"gateway": settings.gateway, "api_key": settings.api_key}
    # Strings of JSON are strings of TOML.
    lines = [f"{name} = {json.dumps(value)}\n" for name, value in values.items() if value is not None]
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.writelines(lines)
    os.replace(partial, path)


def checked_address(address: str) -> str:
    address = _normalised(address)
    parts = _parts(address)
    if "://" not in address and _host(address):
        raise ConfigurationError(
            f"The gateway's address {address!r} has no scheme. Write https://{address}, or http://{address} if the "
            "gateway has no TLS."
        )
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(f"{address!r} is no address of a gateway. One is such as {DEFAULT_GATEWAY}.")
    if parts.username is not None or parts.query or parts.fragment:
        raise ConfigurationError(
            f"The gateway's address may have no user name, query or fragment. Put the key into {KEY_VARIABLE}."
        )
    return address


def _normalised(address: str) -> str:
    """Without a slash at its end, and with its scheme in lower case: http where this machine is named without one."""
    address = address.strip().rstrip("/")
    scheme, separator, rest = address.partition("://")
    if separator:
        return f"{scheme.lower()}://{rest}"
    return f"http://{address}" if _is_loopback(_host(address)) else address


def _host(address: str) -> str:
    """Of an address without a scheme; empty if it has none."""
    parts = _parts(f"//{address}")
    return (parts.hostname or "") if parts is not None else ""


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _parts(address: str) -> SplitResult | None:
    """None for an address that can't be split, or whose host or port can't exist."""
    try:
        parts = urlsplit(address)
        _ = parts.port
        (parts.hostname or "").encode("idna")
    except ValueError:
        return None
    return parts


def checked_key(key: str | None) -> str | None:
    if key is not None and not (key.isascii() and key.isprintable() and " " not in key):
        raise ConfigurationError("The API key has characters that no key has. Copy it again.")
    return key or None


def _belongs(stored: Mapping[str, Any], address: str, path: Path) -> bool:
    """A stored key is for the stored gateway: it is never sent to another one."""
    mine = _text(stored, "gateway", path) or DEFAULT_GATEWAY
    return _normalised(mine) == _normalised(address)


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            stored = tomllib.load(file)
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigurationError(f"{path} can't be read: {error.strerror}.") from error
    except ValueError as error:
        raise ConfigurationError(f"{path} is not valid TOML: {error}.") from error
    if "api_key" in stored and os.name == "posix" and mode & 0o077:
        raise ConfigurationError(f"Others can read the API key in {path}. Run: chmod 600 {path}")
    return stored


def _text(stored: Mapping[str, Any], name: str, path: Path) -> str | None:
    value = stored.get(name)
    if value is not None and not isinstance(value, str):
        raise ConfigurationError(f"{name} in {path} must be a text in quotes.")
    return value
