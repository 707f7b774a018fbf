"""Pod specs: variable expansion, paths, programs, scheduling, as tables."""

from pathlib import Path

import pytest

from darkroom_local.node.expansion import expand
from darkroom_local.node.node_fit import missing_resources, needs_scheduling, unschedulable_reason
from darkroom_local.node.pod_dirs import PodDirs, is_uid
from darkroom_local.node.pod_spec import CannotStartError, find_program, start_order

UID = "7cadbac9-6199-41c9-a49c-be729d19c46c"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("$(A)", "1"),
        ("x$(A)y$(B)", "x1y2"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$$$$", "$$"),
        ("$(C)", "$(C)"),
        ("$A ${A} $", "$A ${A} $"),
        ("$(A", "$(A"),
        ("$()", "$()"),
    ],
)
def test_references_are_expanded_as_in_kubernetes(text, expected):
    assert expand(text, {"A": "1", "B": "2"}) == expected


@pytest.mark.parametrize("uid", ["", "..", "../../etc", UID.upper(), UID + "/..", UID + "\n", "mirror-pod", UID[:-1]])
def test_an_invalid_uid_never_becomes_a_path(tmp_path, uid):
    assert not is_uid(uid)
    with pytest.raises(ValueError, match="not a valid pod uid"):
        PodDirs(tmp_path).of(uid)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "A", "-a", "a" * 64, "a\n"])
def test_an_invalid_volume_name_never_becomes_a_path(tmp_path, name):
    with pytest.raises(ValueError, match="not a valid name of a volume"):
        PodDirs(tmp_path).of(UID).volume(name)


@pytest.mark.parametrize("name", ["", ".", "/", "/bin/sh", "../sh", "sub/../../sh", "folder", "not-executable"])
def test_only_programs_in_the_bin_folder_are_found(tmp_path, name):
    (tmp_path / "bin" / "folder").mkdir(parents=True)
    (tmp_path / "bin" / "not-executable").touch()
    (tmp_path / "sh").touch(mode=0o755)

    with pytest.raises(CannotStartError):
        find_program(name, tmp_path / "bin", "image")


@pytest.mark.parametrize("name", ["runner", "./runner", "{bin}/runner"])
def test_a_program_in_the_bin_folder_is_found(tmp_path, name):
    (tmp_path / "runner").touch(mode=0o755)

    assert find_program(name.format(bin=tmp_path), tmp_path, "image") == Path(tmp_path / "runner")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"spec": {"nodeName": "a"}}, False),
        ({"spec": {"schedulingGates": [{"name": "gate"}]}}, False),
        ({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}, False),
        ({"status": {"phase": "Failed"}}, False),
    ],
)
def test_only_pods_that_kube_scheduler_would_bind_need_scheduling(changes, expected):
    pod = {"metadata": {}, "spec": {}, "status": {"phase": "Pending"}} | changes

    assert needs_scheduling(pod) is expected


@pytest.mark.parametrize(
    ("resources", "missing"),
    [
        ({}, 0),
        ({"limits": {"darkroom.dev/gpu": "1", "cpu": "4", "memory": "8Gi"}}, 0),
        ({"requests": {"nvidia.com/gpu": "1"}}, 1),
        ({"limits": {"darkroom.dev/gpu": "2"}}, 1),
        ({"limits": {"darkroom.dev/gpu": "2", "nvidia.com/gpu": "1"}}, 2),
    ],
)
def test_missing_resources_are_named(resources, missing):
    pod = {"spec": {"containers": [{"resources": resources}]}}

    assert len(missing_resources(pod)) == missing


def a_node(labels=None, **spec):
    return {"metadata": {"labels": labels or {"disk": "fast"}}, "spec": spec}


GPU_TAINT = {"key": "nvidia.com/gpu", "value": "yes", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("pod", "node", "expected"),
    [
        ({}, a_node(), ""),
        ({"nodeSelector": {"disk": "fast"}}, a_node(), ""),
        ({"nodeSelector": {"disk": "slow"}}, a_node(), "no label disk=slow"),
        ({}, a_node(unschedulable=True), "cordoned"),
        ({"tolerations": [{"operator": "Exists"}]}, a_node(unschedulable=True), ""),
        ({}, a_node(taints=[GPU_TAINT]), "nvidia.com/gpu:NoSchedule"),
        ({"tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}]}, a_node(taints=[GPU_TAINT]), ""),
        ({"tolerations": [{"key": "nvidia.com/gpu", "value": "no"}]}, a_node(taints=[GPU_TAINT]), "nvidia.com/gpu"),
        ({"tolerations": [{"key": "nvidia.com/gpu", "value": "yes"}]}, a_node(taints=[GPU_TAINT]), ""),
        ({}, a_node(taints=[GPU_TAINT | {"effect": "PreferNoSchedule"}]), ""),
        ({}, a_node(taints=[{"key": "darkroom.dev/local", "effect": "NoSchedule"}]), ""),
    ],
)
def test_node_selector_cordon_and_taints_make_a_pod_unschedulable(pod, node, expected):
    found = unschedulable_reason({"spec": pod}, node)

    assert (expected in found) if expected else (found == "")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"restartPolicy": "OnFailure"}, "restartPolicy must be Never, not OnFailure"),
        ({"containers": [{"name": "a", "restartPolicy": "OnFailure"}]}, "restarts no main container"),
        ({"containers": [{"name": "../a"}]}, "not a valid container name"),
        ({"initContainers": [{"name": "a/b"}]}, "not a valid container name"),
    ],
)
def test_unsupported_pods_are_rejected_with_the_reason(spec, message):
    with pytest.raises(CannotStartError, match=message):
        start_order({"spec": {"restartPolicy": "Never", "containers": [{"name": "main"}]} | spec})
