"""Whether a NetworkPolicy lets a connection through, as
https://kubernetes.io/docs/concepts/services-networking/network-policies/ says.
"""

from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True)
class Pod:
    """Somebody within the cluster."""

    labels: Json = field(default_factory=dict)
    namespace: str = "elsewhere"


@dataclass(frozen=True)
class Host:
    """Somebody outside of it."""

    address: str


def lets_in(policy: Json, peer: Pod | Host, port: int | str) -> bool:
    return _lets(policy, "Ingress", "from", peer, port, "TCP")


def lets_out(policy: Json, peer: Pod | Host, port: int, protocol: str = "TCP") -> bool:
    return _lets(policy, "Egress", "to", peer, port, protocol)


def _lets(policy: Json, direction: str, side: str, peer: Pod | Host, port: int | str, protocol: str) -> bool:
    spec = policy["spec"]
    if direction not in spec["policyTypes"]:
        return True
    home = policy["metadata"]["namespace"]
    return any(
        _has_port(rule, port, protocol) and (not rule.get(side) or any(_is(each, peer, home) for each in rule[side]))
        for rule in spec.get(direction.lower()) or []
    )


def _has_port(rule: Json, port: int | str, protocol: str) -> bool:
    ports = rule.get("ports")
    return not ports or any(each["port"] == port and each.get("protocol", "TCP") == protocol for each in ports)


def _is(peer: Json, wanted: Pod | Host, home: str) -> bool:
    if "ipBlock" in peer:
        return isinstance(wanted, Host) and _is_within(peer["ipBlock"], wanted.address)
    if isinstance(wanted, Host):
        return False
    # Without a selector of namespaces, the policy's own is meant.
    in_namespace = (
        _matches(peer["namespaceSelector"], {"kubernetes.io/metadata.name": wanted.namespace})
        if "namespaceSelector" in peer
        else wanted.namespace == home
    )
    return in_namespace and _matches(peer.get("podSelector") or {}, wanted.labels)


def _is_within(block: Json, address: str) -> bool:
    where = ip_address(address)
    return where in ip_network(block["cidr"]) and not any(where in ip_network(each) for each in block.get("except", []))


def _matches(selector: Json, labels: Json) -> bool:
    return (selector.get("matchLabels") or {}).items() <= labels.items()
