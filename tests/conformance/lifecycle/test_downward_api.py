"""Fields of a pod in its own files and variables, on which the hand-over of a warm pod to the next job relies.

Runs with the local node, and with the cluster's nodes if DARKROOM_CONFORMANCE_IMAGE names an image with a shell, as
test_kubelet.py does. Measured on a kubelet of Kubernetes 1.36.2: a changed annotation is in the file after 0.05 to
0.14 s.
"""

import itertools
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.kube_api import Api, Json, ok, refused
from support.waiting import first_within, waiter

IMAGE = os.environ.get("DARKROOM_CONFORMANCE_IMAGE", "")
KINDS = ["local", *(["cluster"] if IMAGE and os.environ.get("KUBECONFIG") else [])]
RUN = "metadata.annotations['darkroom.dev/run']"
SOON_SECONDS = 10.0
"""Well below the kubelet's periodic sync of a minute: the change itself must trigger the update."""

wait_until = waiter(120.0)


@pytest.fixture(params=KINDS)
def run(request: pytest.FixtureRequest, api: Api, name: str) -> Iterator[Callable[..., str]]:
    """Creates a pod with a downward API volume at /info, which runs a shell command; deletes it after the test."""
    node = {"nodeName": request.getfixturevalue("local_node").name} if request.param == "local" else {}

    def create(line: str, *items: Json, env: Any = (), **metadata: Any) -> str:
        container = {"name": "main", "image": IMAGE or "registry.invalid/none:1", "command": ["sh", "-c", line]}
        container |= {"env": [{"name": "INFO", "value": "/info"}, *env]}
        container |= {"volumeMounts": [{"name": "info", "mountPath": "/info"}]}
        volume = {"name": "info", "downwardAPI": {"items": list(items)}}
        spec = {"restartPolicy": "Never", "automountServiceAccountToken": False, "terminationGracePeriodSeconds": 1}
        spec |= {"containers": [container], "volumes": [volume], **node}
        metadata = {"name": name, **metadata}
        api.made("pods", {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
        return name

    yield create
    api.delete("pods", name, gracePeriodSeconds=0)
    api.wait_gone("pods", name)


def an_item(path: str, field: str = RUN, **more: Any) -> Json:
    return {"path": path, "fieldRef": {"fieldPath": field}, **more}


def log_of(api: Api, name: str) -> str:
    answer = api.http.get(api.path("pods", name, "log"))
    return answer.text if answer.status_code == 200 else ""


def await_log(api: Api, name: str, text: str, seconds: float = 120.0) -> str:
    wait_until(lambda: text in log_of(api, name), f"{text!r} in the log", seconds)
    return log_of(api, name)


def test_files_have_fields_and_modes(api: Api, run: Callable[..., str], name: str) -> None:
    items = [an_item("run"), an_item("deep/name", "metadata.name", mode=0o444), an_item("all", "metadata.labels")]
    line = 'cd "$INFO"; for f in run deep/name all; do echo "<$(cat $f)>"; done; stat -L -c %a run deep/name; echo end'

    run(line, *items, labels={"b": "2", "a": "1"}, annotations={"darkroom.dev/run": '{"prompt": "a \\"b\\""}'})

    log = await_log(api, name, "end")
    assert log.split("\n")[:-2] == ['<{"prompt": "a \\"b\\""}>', f"<{name}>", '<a="1"', 'b="2">', "644", "444"]


def test_missing_annotation_is_an_empty_file(api: Api, run: Callable[..., str], name: str) -> None:
    run('echo "<$(cat "$INFO/run")>"', an_item("run"))
    assert await_log(api, name, ">") == "<>\n"


def test_changed_annotation_reaches_the_file_at_once(api: Api, run: Callable[..., str], name: str) -> None:
    show = 't=$(cat "$INFO/run" 2>/dev/null); [ "$t" = "$b" ] || echo "<$t>"; b=$t'
    line = f"echo ready; while true; do {show}; sleep 0.02; done"
    run(line, an_item("run"))
    await_log(api, name, "ready")

    numbers = itertools.count(1)

    def seconds_until_shown() -> float:
        begin, number = time.monotonic(), next(numbers)
        ok(api.patch("pods", name, {"metadata": {"annotations": {"darkroom.dev/run": f"run {number}"}}}))
        await_log(api, name, f"<run {number}>")
        return time.monotonic() - begin

    for _ in range(3):
        assert first_within(SOON_SECONDS, seconds_until_shown) < SOON_SECONDS


def test_update_replaces_the_data_symlink(api: Api, run: Callable[..., str], name: str) -> None:
    """Readers may watch `..data`: the visible files are symlinks through it."""
    line = (
        'cd "$INFO"; readlink run; a=$(readlink ..data); echo ready; while [ "$(readlink ..data)" = "$a" ]; do :; done'
    )
    run(f"{line}; echo replaced", an_item("run"))
    assert "..data/run" in await_log(api, name, "ready")

    ok(api.patch("pods", name, {"metadata": {"annotations": {"darkroom.dev/run": "next"}}}))

    await_log(api, name, "replaced", SOON_SECONDS)


def test_variables_have_fields_of_the_start(api: Api, run: Callable[..., str], name: str) -> None:
    fields = {"NAME": "metadata.name", "RUN": RUN, "NONE": "metadata.labels['none']"}
    env = [{"name": each, "valueFrom": {"fieldRef": {"fieldPath": path}}} for each, path in fields.items()]
    run('echo "<$NAME> <$RUN> <$NONE>"', env=env, annotations={"darkroom.dev/run": "first"})
    assert await_log(api, name, ">") == f"<{name}> <first> <>\n"


def test_defaults_are_in_the_manifest(api: Api, name: str, gated_pod: Callable[..., Json]) -> None:
    pod = api.made("pods", gated_pod(name, volumes=[{"name": "info", "downwardAPI": {"items": [an_item("run")]}}]))
    expected = {"items": [{"path": "run", "fieldRef": {"apiVersion": "v1", "fieldPath": RUN}}], "defaultMode": 420}
    assert pod["spec"]["volumes"][0]["downwardAPI"] == expected


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (an_item("run", "metadata.nothing"), "error converting fieldPath: field label not supported: metadata.nothing"),
        (an_item("run", "spec.nodeName"), 'Unsupported value: "spec.nodeName": supported values: "metadata.annotation'),
        (an_item("run", "spec.x['y']"), "error converting fieldPath: field label does not support subscript"),
        (an_item("run", "metadata.annotations['a b']"), "fieldRef: Invalid value"),
        (an_item(""), "spec.volumes[0].downwardAPI.path: Required value"),
        (an_item("../run"), "must not contain '..'"),
        (an_item("..data"), "must not start with '..'"),
        (an_item("/run"), "must be a relative path"),
        (an_item("run", mode=0o1000), "must be a number between 0 and 0777 (octal), both inclusive"),
        ({"path": "run"}, "one of fieldRef and resourceFieldRef is required"),
    ],
)
def test_invalid_items_are_rejected(
    api: Api, name: str, gated_pod: Callable[..., Json], item: Json, message: str
) -> None:
    pod = gated_pod(name, volumes=[{"name": "info", "downwardAPI": {"items": [item]}}])
    assert message in refused(api.create("pods", pod), 422, "Invalid")


@pytest.mark.parametrize("path", ["metadata.labels", "status.phase"])
def test_variable_of_a_field_for_volumes_is_rejected(
    api: Api, name: str, gated_pod: Callable[..., Json], path: str
) -> None:
    variable = {"name": "X", "valueFrom": {"fieldRef": {"fieldPath": path}}}
    pod = gated_pod(name, containers=[{"name": "main", "image": "registry.invalid/none:1", "env": [variable]}])
    message = refused(api.create("pods", pod), 422, "Invalid")
    assert f'spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Unsupported value: "{path}"' in message
