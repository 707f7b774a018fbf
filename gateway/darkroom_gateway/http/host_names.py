"""Host names that the gateway accepts. Pure; used by settings.py and http/origin_check.py."""

import ipaddress
import re
from collections.abc import Collection
from dataclasses import dataclass

ANY_HOST = "*"
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
"""The usual names; `is_loopback_host` covers all."""
_HOST_NAME = re.compile(r"(?:\*\.)?[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*")


@dataclass(frozen=True)
class HostNames:
    """The accepted host names."""

    names: frozenset[str] | None
    """In lower case; `*.example.org` matches every name below example.org. None: all."""
    any_address: bool
    """Whether all IP addresses are accepted. DNS rebinding needs a name; Kubernetes' probes use the pod's address."""

    def include(self, host: str) -> bool:
        """Whether a host is accepted. `host` is in lower case, without port and brackets."""
        if self.names is None or host in self.names or is_loopback_host(host):
            return True
        if _address(host) is not None:
            return self.any_address
        parents = host.split(".")[1:]
        return any("*." + ".".join(parents[index:]) in self.names for index in range(len(parents)))


def own_host_names(configured: Collection[str], *, on_loopback: bool, open_to_all: bool) -> HostNames:
    """The configured names. If there are none: only loopback names for a gateway on loopback without keys, else all.

    Loopback names and addresses are always accepted.
    """
    if ANY_HOST in configured or (not configured and not (on_loopback and open_to_all)):
        return HostNames(None, any_address=True)
    return HostNames(LOOPBACK_NAMES | {name.lower() for name in configured}, any_address=not on_loopback)


def read_host_names(text: str) -> tuple[str, ...]:
    """Parse names separated by commas or spaces. Raises `ValueError` for an invalid name, or one with a port."""
    names = tuple(text.replace(",", " ").split())
    for name in names:
        if name == ANY_HOST or _address(name) is not None:
            continue
        if not _HOST_NAME.fullmatch(name):
            raise ValueError(
                f"{name!r} is not a host name: use one such as darkroom.example.org or *.example.org, without a port."
            )
    return names


def is_loopback_host(host: str) -> bool:
    """Browsers resolve localhost and its subdomains themselves, so DNS can't redirect them."""
    address = _address(host)
    return address.is_loopback if address is not None else host == "localhost" or host.endswith(".localhost")


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
