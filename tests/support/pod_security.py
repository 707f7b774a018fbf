"""The restricted Pod Security Standard, as documented at
https://kubernetes.io/docs/concepts/security/pod-security-standards/ (baseline's rules are part of it).
"""

from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]

VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
SYSCTLS = {
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
}
SELINUX_TYPES = {None, "", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
PROBES = ("startupProbe", "livenessProbe", "readinessProbe")
HOOKS = ("postStart", "preStop")
HANDLERS = ("httpGet", "tcpSocket")


def violations(pod: Json) -> list[str]:
    """What the standard forbids of a pod (or the template of one); empty when it is restricted."""
    spec = pod["spec"]
    found = [*_of_pod(spec), *_of_annotations(pod.get("metadata", {}).get("annotations") or {})]
    for container in containers(spec):
        found += [f"container {container['name']}: {each}" for each in _of_container(container, spec)]
    return found


def containers(spec: Json) -> Iterator[Json]:
    for group in ("initContainers", "containers", "ephemeralContainers"):
        yield from spec.get(group) or []


def _of_pod(spec: Json) -> Iterator[str]:
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(name):
            yield f"{name} is true"
    for volume in spec.get("volumes") or []:
        for kind in set(volume) - {"name"} - VOLUMES:
            yield f"volume {volume['name']} is a {kind}"
    context = spec.get("securityContext") or {}
    for sysctl in context.get("sysctls") or []:
        if sysctl["name"] not in SYSCTLS:
            yield f"sysctl {sysctl['name']} is not safe"
    yield from _of_context(context)


def _of_annotations(annotations: Json) -> Iterator[str]:
    for name, value in annotations.items():
        is_profile = name.startswith("container.apparmor.security.beta.kubernetes.io/")
        if is_profile and value not in ("", "runtime/default") and not value.startswith("localhost/"):
            yield f"AppArmor is {value}"


def _of_container(container: Json, spec: Json) -> Iterator[str]:
    own, pod = container.get("securityContext") or {}, spec.get("securityContext") or {}
    yield from _of_context(own)
    if own.get("privileged"):
        yield "it is privileged"
    if own.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation is not false"
    if own.get("procMount", "Default") != "Default":
        yield f"procMount is {own['procMount']}"
    capabilities = own.get("capabilities") or {}
    if "ALL" not in (capabilities.get("drop") or []):
        yield "capabilities do not drop ALL"
    if added := set(capabilities.get("add") or []) - {"NET_BIND_SERVICE"}:
        yield f"capabilities add {sorted(added)}"
    if own.get("runAsNonRoot", pod.get("runAsNonRoot")) is not True:
        yield "runAsNonRoot is not true"
    if (own.get("seccompProfile") or pod.get("seccompProfile") or {}).get("type") not in (
        "RuntimeDefault",
        "Localhost",
    ):
        yield "seccompProfile is neither RuntimeDefault nor Localhost"
    yield from (f"it takes port {port['hostPort']} of the node" for port in _ports(container) if port.get("hostPort"))
    yield from (f"a probe or hook asks host {host}" for host in _hosts(container))


def _of_context(context: Json) -> Iterator[str]:
    """What pod and container may both say."""
    if context.get("runAsUser") == 0:
        yield "runAsUser is 0"
    if (context.get("windowsOptions") or {}).get("hostProcess"):
        yield "hostProcess is true"
    if (context.get("appArmorProfile") or {}).get("type") not in (None, "RuntimeDefault", "Localhost"):
        yield f"appArmorProfile is {context['appArmorProfile']['type']}"
    if (context.get("seccompProfile") or {}).get("type") == "Unconfined":
        yield "seccompProfile is Unconfined"
    selinux = context.get("seLinuxOptions") or {}
    if selinux.get("type") not in SELINUX_TYPES or selinux.get("user") or selinux.get("role"):
        yield f"seLinuxOptions are {selinux}"


def _ports(container: Json) -> list[Json]:
    return container.get("ports") or []


def _hosts(container: Json) -> Iterator[str]:
    hooks = container.get("lifecycle") or {}
    for handler in [*(container.get(name) for name in PROBES), *(hooks.get(name) for name in HOOKS)]:
        for kind in HANDLERS:
            host = ((handler or {}).get(kind) or {}).get("host")
            if host:
                yield host
