"""The names under which a gateway answers. Pure; used by settings.py and http/origin_check.py."""

import ipaddress
import re
from collections.abc import Collection
from dataclasses import dataclass

ANY_HOST = "*"
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
"""The usual ones; `is_loopback_host` knows the others."""
_HOST_NAME = re.compile(r"(?:\*\.)?[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*")


@dataclass(frozen=True)
class HostNames:
    """The names under which a gateway answers."""

    names: frozenset[str] | None
    """In lower case; `*.example.org` stands for every name below example.org. None: any."""
    any_address: bool
    """Whether every IP address is among them. No page can be rebound to one; Kubernetes' probes use the pod's."""

    def include(self, host: str) -> bool:
        """Of a host in lower case, without a port and brackets."""
        if self.names is None or host in self.names or is_loopback_host(host):
            return True
        if _address(host) is not None:
            return self.any_address
        parents = host.split(".")[1:]
        return any("*." + ".".join(parents[index:]) in self.names for index in range(len(parents)))


def own_host_names(configured: Collection[str], *, on_loopback: bool, open_to_all: bool) -> HostNames:
    """Those that were configured, or else the loopback's own where only this machine reaches a gateway without keys.

    The loopback's names and addresses are always among them.
    """
    if ANY_HOST in configured or (not configured and not (on_loopback and open_to_all)):
        return HostNames(None, any_address=True)
    return HostNames(LOOPBACK_NAMES | {name.lower() for name in configured}, any_address=not on_loopback)


def read_host_names(text: str) -> tuple[str, ...]:
    """Names separated by commas or blanks. Raises `ValueError` for one that is none, or that has a port."""
    names = tuple(text.replace(",", " ").split())
    for name in names:
        if name == ANY_HOST or _address(name) is not None:
            continue
        if not _HOST_NAME.fullmatch(name):
            raise ValueError(
                f"{name!r} is no host name: write such as darkroom.example.org or *.example.org, without a port."
            )
    return names


def is_loopback_host(host: str) -> bool:
    """Browsers resolve localhost and what is below it themselves: it can't be made to lead elsewhere."""
    address = _address(host)
    return address.is_loopback if address is not None else host == "localhost" or host.endswith(".localhost")


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
