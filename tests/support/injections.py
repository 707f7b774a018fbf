"""Mutations of every new runner pod, as service meshes and admission policies make them.

On the local API server by a proxy before it; on a real control plane (KUBECONFIG) by a MutatingAdmissionPolicy, which
Kubernetes serves as v1 from 1.36 on.
"""

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web

from darkroom_contract.names import LABEL_COMPONENT, RUNNER_COMPONENT
from support.darkroom_up import BIN, GIVEN_KUBECONFIG, Darkroom
from support.fault_proxy import FaultProxy
from support.kube_api import ApiServer
from support.warm_parent.installation import WarmParent

Json = dict[str, Any]
Change = tuple[str, Any]
"""A path of a pod as JSON patches have it, and what is added there."""


class InjectingProxy(FaultProxy):
    """A proxy without faults that applies the changes to new runner pods."""

    def __init__(self, server_url: str, changes: list[Change]) -> None:
        super().__init__(server_url, seed=0, request_rate=0)
        self._changes = changes

    def _admit(self, request: web.Request, body: bytes) -> bytes:
        if request.method != "POST" or not request.path.endswith("/pods"):
            return body
        pod = json.loads(body)
        if pod["metadata"].get("labels", {}).get(LABEL_COMPONENT) == RUNNER_COMPONENT:
            for path, value in self._changes:
                _add(pod, path, value)
        return json.dumps(pod).encode()


def _add(document: Any, path: str, value: Any) -> None:
    """RFC 6902, in part: `-` at the end appends to a list."""
    *parents, last = path.strip("/").split("/")
    for each in parents:
        document = document.setdefault(each, [] if last == "-" and each == parents[-1] else {})
    if last == "-":
        document.append(value)
    else:
        document[last] = value


@contextlib.contextmanager
def injecting_darkroom(
    folder: Path,
    warm: WarmParent,
    changes: list[Change],
    node_grace_seconds: float = 50.0,
    options: Sequence[str] = (),
) -> Iterator[Darkroom]:
    """A `darkroom up` with these options, whose runner pods get the changes. `warm` forks its parts and runs.
    `node_grace_seconds` applies to the local API server only."""
    with contextlib.ExitStack() as stack:
        if GIVEN_KUBECONFIG is not None:
            darkroom = Darkroom(folder, warm.python, options=options, program=warm.darkroom)
            stack.enter_context(_policy(darkroom.namespace, changes))
        else:
            grace = ("--node-monitor-grace-seconds", str(node_grace_seconds))
            server = ApiServer(folder, *grace, python=warm.forking_python)
            stack.enter_context(server)
            proxy = stack.enter_context(InjectingProxy(server.url, changes))
            kubeconfig = folder / "by-proxy.yaml"
            kubeconfig.write_text(server.kubeconfig.read_text().replace(server.url, proxy.url))
            darkroom = Darkroom(folder, warm.python, kubeconfig, options, program=warm.darkroom)
        stack.callback(darkroom.close)
        darkroom.start()
        yield darkroom


@contextlib.contextmanager
def _policy(namespace: str, changes: list[Change]) -> Iterator[None]:
    """On a real control plane, for the runner pods of one namespace."""
    patches = ", ".join(
        f'JSONPatch{{op: "add", path: "{path}", value: {_cel(value, f"Object{_type_of(path)}")}}}'
        for path, value in changes
    )
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    constraints = {
        "resourceRules": [rule],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "objectSelector": {"matchLabels": {LABEL_COMPONENT: RUNNER_COMPONENT}},
    }
    mutation = {"patchType": "JSONPatch", "jsonPatch": {"expression": f"[{patches}]"}}
    spec = {"matchConstraints": constraints, "mutations": [mutation], "failurePolicy": "Fail"}
    documents = [
        _admission("MutatingAdmissionPolicy", namespace, spec | {"reinvocationPolicy": "Never"}),
        _admission("MutatingAdmissionPolicyBinding", namespace, {"policyName": namespace}),
    ]
    _kubectl("apply", documents)
    yield
    _kubectl("delete", documents)


def _type_of(path: str) -> str:
    return "." + path.strip("/").removesuffix("/-").replace("/", ".")


def _cel(value: Any, type_name: str) -> str:
    """A value as CEL writes typed objects of an admission policy."""
    if isinstance(value, dict):
        fields = ", ".join(f"{key}: {_cel(each, f'{type_name}.{key}')}" for key, each in value.items())
        return f"{type_name}{{{fields}}}"
    if isinstance(value, list):
        return f"[{', '.join(_cel(each, type_name) for each in value)}]"
    return json.dumps(value)


def _admission(kind: str, name: str, spec: Json) -> Json:
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": spec,
    }


def _kubectl(verb: str, documents: list[Json]) -> None:
    text = yaml.safe_dump_all(documents)
    environment = {"KUBECONFIG": str(GIVEN_KUBECONFIG), "PATH": os.defpath}
    subprocess.run([BIN / "kubectl", verb, "-f", "-"], input=text, text=True, env=environment, check=True, timeout=60)
