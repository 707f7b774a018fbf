"""Which network addresses count as public. Pure.

A gateway reaches what its callers do not: the cluster's services, the node, the cloud's metadata service. Links and
webhooks of users must therefore lead to public addresses, unless the deployment allows all.
"""

import ipaddress

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
"""RFC 6052: an IPv4 address in the last 32 bits."""

_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
"""All that IANA allocates from. `is_global` is also true for site-local and IPv4-compatible addresses."""


def is_public(text: str) -> bool:
    """Whether an IP address is public: not private, loopback, link-local, shared, reserved or multicast.

    IPv6 addresses that contain an IPv4 address count as that one. False for anything that is no IP address.
    """
    try:
        address = _contained(ipaddress.ip_address(text))
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address not in _GLOBAL_UNICAST:
        return False
    return address.is_global and not address.is_multicast and not _is_tunnel(address)


def _contained(address: Address) -> Address:
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else address


def _is_tunnel(address: Address) -> bool:
    """6to4 and Teredo: where they lead is decided by a relay."""
    return isinstance(address, ipaddress.IPv6Address) and (address.sixtofour is not None or address.teredo is not None)
