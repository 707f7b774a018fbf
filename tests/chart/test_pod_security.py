"""All pods of the chart meet the restricted Pod Security Standard and further hardening rules."""

from typing import Any

import pytest
from support.chart import CASES, Json, only_container, rendered
from support.pod_security import containers, violations

PODS = [pytest.param(pod, id=f"{case} {owner}") for case in CASES for owner, pod in rendered(case).pods()]
SPEAKERS = ("Deployment/darkroom-operator", "Deployment/darkroom-gateway")
"""Components that use the API server."""


@pytest.mark.parametrize("pod", PODS)
def test_pods_meet_the_restricted_standard(pod: Json) -> None:
    assert violations(pod) == []


@pytest.mark.parametrize("pod", PODS)
def test_root_file_system_is_read_only_and_writes_go_to_volumes(pod: Json) -> None:
    for container in containers(pod["spec"]):
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert {mount["mountPath"] for mount in container["volumeMounts"]} & {"/tmp", "/data"}


@pytest.mark.parametrize("pod", PODS)
def test_requests_and_limits_are_set(pod: Json) -> None:
    for container in containers(pod["spec"]):
        assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
        assert {"cpu", "memory"} <= container["resources"]["limits"].keys()


@pytest.mark.parametrize("case", CASES)
def test_service_account_token_is_mounted_only_where_needed(case: str) -> None:
    mounted = [owner for owner, pod in rendered(case).pods() if pod["spec"]["automountServiceAccountToken"]]
    assert sorted(mounted) == sorted(SPEAKERS)
    for account in rendered(case).of_kind("ServiceAccount"):
        assert account["automountServiceAccountToken"] is False


@pytest.mark.parametrize("pod", PODS)
def test_service_links_are_disabled(pod: Json) -> None:
    """The gateway's Service would set DARKROOM_GATEWAY_PORT, which is a setting, to tcp://..."""
    assert pod["spec"]["enableServiceLinks"] is False


@pytest.mark.parametrize("case", CASES)
def test_every_server_has_probes_with_the_right_paths(case: str) -> None:
    for deployment in rendered(case).of_kind("Deployment"):
        container = only_container(deployment["spec"]["template"])
        assert {"startupProbe", "livenessProbe", "readinessProbe"} <= container.keys()
    for component in ("operator", "gateway"):
        container = only_container(rendered(case).deployment(component)["spec"]["template"])
        assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
        assert container["readinessProbe"]["httpGet"]["path"].partition("?")[0] == "/readyz"


@pytest.mark.parametrize("case", CASES)
def test_pod_specs_contain_no_secret_values(case: str) -> None:
    """Secret values come from Secrets, never from plain `value` fields."""
    for owner, pod in rendered(case).pods():
        for container in containers(pod["spec"]):
            clear = {each["name"] for each in container.get("env", []) if "value" in each}
            assert not {name for name in clear if _sounds_secret(name)}, owner


def _sounds_secret(name: str) -> bool:
    return any(word in name for word in ("SECRET_ACCESS", "PASSWORD", "TOKEN", "ACCESS_KEY"))


def _with(change: Any) -> Json:
    pod = {
        "metadata": {},
        "spec": {
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [
                {
                    "name": "c",
                    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                }
            ],
        },
    }
    change(pod["metadata"], pod["spec"], pod["spec"]["containers"][0])
    return pod


def test_minimal_compliant_pod_passes() -> None:
    assert violations(_with(lambda metadata, spec, container: None)) == []


@pytest.mark.parametrize(
    ("change", "violation"),
    [
        (lambda m, s, c: s.update(hostNetwork=True), "hostNetwork is true"),
        (lambda m, s, c: s.update(hostPID=True), "hostPID is true"),
        (lambda m, s, c: s.update(hostIPC=True), "hostIPC is true"),
        (lambda m, s, c: s.update(volumes=[{"name": "v", "hostPath": {"path": "/"}}]), "volume v is a hostPath"),
        (lambda m, s, c: s["securityContext"].update(sysctls=[{"name": "kernel.msgmax"}]), "sysctl kernel.msgmax"),
        (lambda m, s, c: s["securityContext"].update(runAsNonRoot=False), "runAsNonRoot is not true"),
        (lambda m, s, c: s["securityContext"].update(runAsUser=0), "runAsUser is 0"),
        (lambda m, s, c: s["securityContext"].pop("seccompProfile"), "seccompProfile is neither"),
        (lambda m, s, c: c["securityContext"].update(seccompProfile={"type": "Unconfined"}), "is Unconfined"),
        (lambda m, s, c: c["securityContext"].update(privileged=True), "it is privileged"),
        (lambda m, s, c: c["securityContext"].pop("allowPrivilegeEscalation"), "allowPrivilegeEscalation is not"),
        (lambda m, s, c: c["securityContext"].update(capabilities={}), "do not drop ALL"),
        (lambda m, s, c: c["securityContext"]["capabilities"].update(add=["SYS_ADMIN"]), "add ['SYS_ADMIN']"),
        (lambda m, s, c: c["securityContext"].update(procMount="Unmasked"), "procMount is Unmasked"),
        (lambda m, s, c: c["securityContext"].update(runAsNonRoot=False), "runAsNonRoot is not true"),
        (lambda m, s, c: c["securityContext"].update(seLinuxOptions={"type": "spc_t"}), "seLinuxOptions are"),
        (lambda m, s, c: c["securityContext"].update(windowsOptions={"hostProcess": True}), "hostProcess is true"),
        (lambda m, s, c: c["securityContext"].update(appArmorProfile={"type": "Unconfined"}), "appArmorProfile is"),
        (lambda m, s, c: c.update(ports=[{"containerPort": 80, "hostPort": 80}]), "takes port 80 of the node"),
        (lambda m, s, c: c.update(livenessProbe={"tcpSocket": {"port": 1, "host": "10.0.0.1"}}), "asks host 10.0.0.1"),
        (lambda m, s, c: c.update(lifecycle={"preStop": {"httpGet": {"port": 1, "host": "h"}}}), "asks host h"),
        (
            lambda m, s, c: m.update(annotations={"container.apparmor.security.beta.kubernetes.io/c": "unconfined"}),
            "AppArmor is unconfined",
        ),
        (lambda m, s, c: s.update(initContainers=[{"name": "i"}]), "container i: allowPrivilegeEscalation"),
    ],
)
def test_each_rule_of_the_standard_is_checked(change: Any, violation: str) -> None:
    assert violation in "; ".join(violations(_with(change)))
