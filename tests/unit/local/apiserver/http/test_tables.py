"""Printer tables as pure functions."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from darkroom_local.apiserver.http.tables import age, follow, table
from darkroom_local.apiserver.resources.registry import Registry

Json = dict[str, Any]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (150, "2m30s"),
        (599, "9m59s"),
        (600, "10m"),
        (3600, "60m"),
        (3 * 3600, "3h"),
        (5 * 3600 + 600, "5h10m"),
        (47 * 3600, "47h"),
        (48 * 3600, "2d"),
        (400 * 86400, "400d"),
    ],
)
def test_ages_have_the_format_of_kubectl(seconds: int, text: str) -> None:
    then = datetime.now(UTC) - timedelta(seconds=seconds)
    assert age(then.isoformat()) == text


def test_unknown_and_future_ages() -> None:
    assert age(None) == "<unknown>"
    assert age((datetime.now(UTC) + timedelta(minutes=1)).isoformat()) == "<invalid>"


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".status.phase", "Running"),
        (".status.missing.deep", None),
        (".status.conditions[0].status", "False"),
        (".status.conditions[9].status", None),
        ('.status.conditions[?(@.type=="Ready")].status', "True"),
        ('.status.conditions[?(@.type=="Other")].status', None),
        (".status.zero", 0),
    ],
)
def test_json_paths(path: str, found: Any) -> None:
    conditions = [{"type": "Done", "status": "False"}, {"type": "Ready", "status": "True"}]
    assert follow({"status": {"phase": "Running", "zero": 0, "conditions": conditions}}, path) == found


def pod_row(status: Json, **more: Any) -> dict[str, Any]:
    pods = Registry().find("", "v1", "pods")
    assert pods is not None
    document = {
        "metadata": {"name": "p", "creationTimestamp": "2026-01-01T00:00:00Z", **more.pop("metadata", {})},
        "spec": {"containers": [{"name": "m"}], **more},
        "status": status,
    }
    shown = table([document], pods, {}, "None")
    names = [each["name"] for each in shown["columnDefinitions"]]
    return dict(zip(names, shown["rows"][0]["cells"], strict=True))


def container(**state: Json) -> Json:
    return {"name": "m", "ready": "running" in state, "restartCount": 2, "state": state}


@pytest.mark.parametrize(
    ("row", "status", "ready"),
    [
        (pod_row({"phase": "Pending"}), "Pending", "0/1"),
        (pod_row({"phase": "Running", "containerStatuses": [container(running={})]}), "Running", "1/1"),
        (
            pod_row({"phase": "Pending", "containerStatuses": [container(waiting={"reason": "ErrImagePull"})]}),
            "ErrImagePull",
            "0/1",
        ),
        (
            pod_row({"phase": "Succeeded", "containerStatuses": [container(terminated={"reason": "Completed"})]}),
            "Completed",
            "0/1",
        ),
        (pod_row({"phase": "Failed", "reason": "Evicted"}), "Evicted", "0/1"),
        (pod_row({"phase": "Running"}, metadata={"deletionTimestamp": "x"}), "Terminating", "0/1"),
        (pod_row({"phase": "Pending"}, schedulingGates=[{"name": "g"}]), "SchedulingGated", "0/1"),
    ],
)
def test_pod_status_column_shows_the_most_specific_reason(row: Json, status: str, ready: str) -> None:
    assert (row["Status"], row["Ready"]) == (status, ready)


def test_removed_scheduling_gate_is_not_shown() -> None:
    condition = {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}
    assert pod_row({"phase": "Pending", "conditions": [condition]})["Status"] == "Pending"


def test_missing_pod_fields_are_shown_as_none() -> None:
    row = pod_row({"phase": "Pending"})
    assert (row["IP"], row["Node"]) == ("<none>", "<none>")
