"""A Deployment's container as a process of this machine: what a chart wrote is what runs.

Reads a Deployment and what it names from an API server, and starts the container's command with exactly its
environment. There are no mounts: the files of its volumes are laid out in a folder, and every value or argument that
is a path into a mount becomes the path there. The ServiceAccount's token is in the kubeconfig of KUBECONFIG, since
in-cluster credentials want TLS and a fixed folder.
"""

import base64
import contextlib
import os
import secrets
import shutil
import signal
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from darkroom_local.node.container_env import EnvSources, container_env, decode_secret
from darkroom_local.node.expansion import expand
from support.kube_api import Api, Json, kubeconfig_with_token, ok
from support.server_process import Process

PROGRAMS = Path(sys.executable).parent
"""Stands for the image: a command is looked for here first."""
TOKEN_SECONDS = 3600
EMPTY_VOLUMES = frozenset({"emptyDir", "persistentVolumeClaim"})

Mounts = Mapping[str, Path]
"""Paths within the container, and what stands for them on this machine; the longest first."""
Files = dict[str, bytes]


@dataclass
class RunningDeployment:
    """One pod's worth of a Deployment."""

    pod: Json
    """What the ReplicaSet would have made; its name is what `metadata.name` is in the environment."""
    process: Process
    environment: dict[str, str]
    mounts: Mounts
    _volumes: "Volumes"

    @property
    def log_path(self) -> Path:
        return self.process.log_path

    def refresh(self) -> None:
        """Bring the files of Secrets and ConfigMaps up to date, as a kubelet does after a while."""
        self._volumes.write()


@contextlib.contextmanager
def run_deployment(
    kube: Api,
    namespace: str,
    name: str,
    *,
    root: Path,
    container: str = "",
    extra_env: Mapping[str, str] | None = None,
) -> Iterator[RunningDeployment]:
    """Runs until the end of the block, then SIGTERM: it must end within its grace period, with 0 or by that signal.

    `kube` must be an admin's. `container` may be left out where there is one only; `extra_env` wins over the manifest,
    for ports and addresses that this machine must choose.
    """
    root.mkdir(parents=True, exist_ok=True)
    running = _prepare(kube, namespace, name, root, container, extra_env or {})
    running.process.start()
    try:
        yield running
    finally:
        code = running.process.stop()
    assert code in (0, -signal.SIGTERM), f"{name} ended with {code}: {running.process.log()[-4000:]}"


def _prepare(
    kube: Api, namespace: str, name: str, root: Path, container: str, extra_env: Mapping[str, str]
) -> RunningDeployment:
    pod = _pod(ok(kube.http.get(f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}")))
    chosen = _container(pod, container)
    volumes = Volumes(kube, pod, root / "volumes")
    volumes.write()
    mounts = volumes.mounts(chosen)
    own = container_env(pod, chosen, _sources(kube, namespace, chosen))
    given = {key: _translated(value, mounts) for key, value in own.items()}
    words = [expand(word, own) for word in [*(chosen.get("command") or []), *(chosen.get("args") or [])]]
    assert words, f"{name}: there are no images here, and so no entry points: the container must have a command"
    program = shutil.which(words[0], path=f"{PROGRAMS}{os.pathsep}{os.defpath}")
    assert program, f"{name}: there is no program {words[0]} here"
    home = root / "home"
    home.mkdir(exist_ok=True)
    whole = {"PATH": f"{PROGRAMS}{os.pathsep}{os.defpath}", "HOME": str(home), "LANG": "C.UTF-8"}
    whole |= given | _credentials(kube, pod, root) | dict(extra_env)
    process = Process([program, *(_translated(word, mounts) for word in words[1:])], root / f"{name}.log", whole)
    return RunningDeployment(pod, process, whole, mounts, volumes)


def _pod(deployment: Json) -> Json:
    metadata, template = deployment["metadata"], deployment["spec"]["template"]
    assert not template["spec"].get("initContainers"), "init containers are not run here"
    identity = {
        "name": f"{metadata['name']}-{secrets.token_hex(5)}-{secrets.token_hex(3)[:5]}",
        "namespace": metadata["namespace"],
        "uid": secrets.token_hex(16),
    }
    return {"metadata": {**template.get("metadata", {}), **identity}, "spec": {"nodeName": "here", **template["spec"]}}


def _container(pod: Json, name: str) -> Json:
    found = [each for each in pod["spec"]["containers"] if name in ("", each["name"])]
    assert len(found) == 1, f"name one of the containers {[each['name'] for each in pod['spec']['containers']]}"
    only: Json = found[0]
    return only


def _sources(kube: Api, namespace: str, container: Json) -> EnvSources:
    """All Secrets and ConfigMaps of the namespace: the manifest decides which of them the container uses."""
    found = {
        plural: ok(kube.http.get(f"/api/v1/namespaces/{namespace}/{plural}"))["items"]
        for plural in ("secrets", "configmaps")
    }
    return EnvSources(
        {each["metadata"]["name"]: decode_secret(each) for each in found["secrets"]},
        {each["metadata"]["name"]: each.get("data") or {} for each in found["configmaps"]},
    )


def _translated(text: str, mounts: Mounts) -> str:
    """A path at or below a mount; `--flag=PATH` too."""
    flag, equals, value = text.partition("=") if text.startswith("-") else ("", "", text)
    for inside, outside in mounts.items():
        if value == inside or value.startswith(inside + "/"):
            return f"{flag}{equals}{outside}{value[len(inside) :]}"
    return text


def _credentials(kube: Api, pod: Json, root: Path) -> dict[str, str]:
    """KUBECONFIG with a token of the pod's ServiceAccount; nothing for a pod that is to have none."""
    spec, namespace = pod["spec"], pod["metadata"]["namespace"]
    account = spec.get("serviceAccountName") or "default"
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}"
    if spec.get("automountServiceAccountToken", True) is False:
        return {}
    if ok(kube.http.get(path)).get("automountServiceAccountToken", True) is False and (
        "automountServiceAccountToken" not in spec
    ):
        return {}
    answer = ok(kube.http.post(f"{path}/token", json={"spec": {"expirationSeconds": TOKEN_SECONDS}}), 201)
    file = root / "kubeconfig.yaml"
    file.write_text(kubeconfig_with_token(kube.kubeconfig, answer["status"]["token"], namespace))
    return {"KUBECONFIG": str(file)}


class Volumes:
    """The volumes of a pod as folders, with the files of Secrets and ConfigMaps as a kubelet lays them out:
    `key -> ..data/key`, and `..data` a link that is turned to a new folder when the content changes."""

    def __init__(self, kube: Api, pod: Json, folder: Path) -> None:
        self._kube, self._pod, self._folder = kube, pod, folder

    def write(self) -> None:
        for volume in self._pod["spec"].get("volumes") or []:
            folder = self._folder / volume["name"]
            folder.mkdir(parents=True, exist_ok=True)
            if not EMPTY_VOLUMES & set(volume):
                _publish(folder, self._files(volume))

    def mounts(self, container: Json) -> Mounts:
        paths = {
            str(PurePosixPath(mount["mountPath"])): self._folder / mount["name"] / mount.get("subPath", "")
            for mount in container.get("volumeMounts") or []
        }
        return dict(sorted(paths.items(), key=lambda mount: len(mount[0]), reverse=True))

    def _files(self, volume: Json) -> Files:
        if "projected" in volume:
            parts = [self._files(source) for source in volume["projected"]["sources"]]
            return {path: content for part in parts for path, content in part.items()}
        if "secret" in volume:
            return self._chosen("secrets", volume["secret"], "secretName")
        if "configMap" in volume:
            return self._chosen("configmaps", volume["configMap"], "name")
        raise AssertionError(f"volumes of this kind are not made here: {volume}")

    def _chosen(self, plural: str, source: Json, name_field: str) -> Files:
        name = source.get(name_field) or source["name"]  # A projected Secret is called by `name`.
        namespace = self._pod["metadata"]["namespace"]
        answer = self._kube.http.get(f"/api/v1/namespaces/{namespace}/{plural}/{name}")
        if answer.status_code == 404 and source.get("optional"):
            return {}
        data = _content(plural, ok(answer))
        items = source.get("items")
        return data if items is None else {each["path"]: data[each["key"]] for each in items}


def _content(plural: str, document: Json) -> Files:
    data: dict[str, Any] = document.get("data") or {}
    if plural == "secrets":
        return {key: base64.b64decode(value) for key, value in data.items()}
    binary: dict[str, Any] = document.get("binaryData") or {}
    return {key: text.encode() for key, text in data.items()} | {
        key: base64.b64decode(value) for key, value in binary.items()
    }


def _publish(folder: Path, files: Files) -> None:
    """As `AtomicWriter` of kubelet: readers see the old files or the new ones."""
    version = folder / f"..{secrets.token_hex(8)}"
    for path, content in files.items():
        file = version / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    version.mkdir(exist_ok=True)
    link, new = folder / "..data", folder / "..data_tmp"
    before = link.resolve() if link.is_symlink() else None
    new.symlink_to(version.name)
    new.replace(link)
    first_parts = {PurePosixPath(path).parts[0] for path in files}
    for part in first_parts:
        if not (folder / part).is_symlink():
            (folder / part).symlink_to(f"..data/{part}")
    for stale in folder.iterdir():
        if stale.is_symlink() and not stale.name.startswith("..") and stale.name not in first_parts:
            stale.unlink()
    if before:
        shutil.rmtree(before)
