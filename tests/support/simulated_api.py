"""A small API server in plain data: the interface of the operator's `KubeClient`, with optimistic concurrency,
graceful deletion and a history that watches read as late as they like. Requests pause before and after they are carried
out, so that a test can do anything in between.
"""

import types
from collections.abc import AsyncIterator, Callable, Generator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from darkroom_contract.names import Kind
from darkroom_operator.errors import (
    AlreadyExistsError,
    ApiError,
    ConflictError,
    NotFoundError,
    UnreachableError,
    api_error,
)
from support.status_schema import faults as status_faults

Json = dict[str, Any]
START = datetime(2026, 11, 25, 12, 0, 0, tzinfo=UTC)
PLURALS = (*(kind.plural for kind in Kind), "pods", "leases")


@dataclass(frozen=True)
class Event:
    """A line of a watch."""

    kind: str
    document: Json


@dataclass
class SimulatedApi:
    """All objects of one namespace, and all that ever happened to them."""

    now: datetime = START
    revision: int = 0
    objects: dict[str, dict[str, Json]] = field(default_factory=lambda: {plural: {} for plural in PLURALS})
    forbidden: dict[str, Callable[[Json], bool]] = field(default_factory=dict)
    ignored: set[str] = field(default_factory=set)
    history: dict[str, list[Event]] = field(default_factory=lambda: {plural: [] for plural in PLURALS})
    pod_quota: int | None = None
    """How many pods that are not over a ResourceQuota allows."""
    added_gate: str | None = None
    """A scheduling gate that a webhook, such as Kueue's, adds to each new pod."""
    quota_refusals: int = 0
    dropped: frozenset[str] = frozenset()
    """Fields of a status and of its progress that the CRDs do not know, as those of an older release."""

    def forbid(self, request: str, which: Callable[[Json], bool]) -> None:
        """Refuse such requests from now on, when they are about what is meant."""
        self.forbidden[request] = which

    def ignore(self, request: str) -> None:
        """Answer such requests as if they had changed nothing."""
        self.ignored.add(request)

    def create(self, plural: str, document: Json) -> Json:
        name = document["metadata"]["name"]
        if name in self.objects[plural]:
            raise AlreadyExistsError(f"create {plural}/{name}", 409, "AlreadyExists", "it exists")
        made = copied(document)
        if plural == "pods":
            self._admit_pod(made)
        created = self.now.replace(microsecond=0).isoformat()
        made["metadata"] |= {"uid": f"uid-{self.revision}", "namespace": "default", "creationTimestamp": created}
        return self._store("ADDED", plural, made)

    def _admit_pod(self, pod: Json) -> None:
        used = sum(not is_over(each) for each in self.objects["pods"].values())
        if self.pod_quota is not None and used >= self.pod_quota:
            self.quota_refusals += 1
            name, counts = (
                pod["metadata"]["name"],
                f"requested: pods=1, used: pods={used}, limited: pods={self.pod_quota}",
            )
            message = f'pods "{name}" is forbidden: exceeded quota: darkroom-runner, {counts}'
            raise api_error(f"create pods/{name}", 403, "Forbidden", message)
        if self.added_gate is not None:
            pod["spec"].setdefault("schedulingGates", []).append({"name": self.added_gate})

    def remove_gate(
        self, name: str, gate: str, uid: str | None = None, annotations: Mapping[str, str] | None = None
    ) -> Json:
        kept = [each for each in self.get("pods", name)["spec"].get("schedulingGates", []) if each["name"] != gate]
        metadata: Json = ({} if uid is None else {"uid": uid}) | ({"annotations": annotations} if annotations else {})
        return self.patch("pods", name, {"metadata": metadata, "spec": {"schedulingGates": kept or None}})

    def get(self, plural: str, name: str) -> Json:
        if name not in self.objects[plural]:
            raise NotFoundError(f"get {plural}/{name}", 404, "NotFound", "there is none")
        return copied(self.objects[plural][name])

    def patch(self, plural: str, name: str, patch: Json) -> Json:
        """A merge patch; refused when it names another version or uid than there is."""
        before = self.get(plural, name)
        wanted, metadata = patch.get("metadata", {}), before["metadata"]
        if wanted.get("resourceVersion") not in (None, metadata["resourceVersion"]):
            raise ConflictError(f"patch {plural}/{name}", 409, "Conflict", "resourceVersion is another")
        if wanted.get("uid") not in (None, metadata["uid"]):
            words = f'metadata.uid: Invalid value: "{wanted["uid"]}": field is immutable'
            raise api_error(f"patch {plural}/{name}", 422, "Invalid", words)
        after = merged(before, {**patch, "metadata": {**patch.get("metadata", {}), "resourceVersion": None}})
        after["metadata"]["resourceVersion"] = before["metadata"]["resourceVersion"]
        return before if after == before else self._store("MODIFIED", plural, after)

    def delete(self, plural: str, name: str, preconditions: Mapping[str, str] | None = None) -> None:
        """A pod that is on a node stays until its node removes it, and what has finalizers until they are gone."""
        document = self.get(plural, name)
        for precondition, wanted in (preconditions or {}).items():
            if wanted != document["metadata"][precondition]:
                raise ConflictError(f"delete {plural}/{name}", 409, "Conflict", f"{precondition} is another")
        if plural == "pods" and document["spec"].get("nodeName"):
            self.patch(plural, name, {"metadata": {"deletionTimestamp": self.now.isoformat()}})
        elif document["metadata"].get("finalizers"):
            begun = document["metadata"].get("deletionTimestamp", self.now.isoformat())
            self.patch(plural, name, {"metadata": {"deletionTimestamp": begun}})
        else:
            self.remove(plural, name)

    def remove(self, plural: str, name: str) -> None:
        document = self.objects[plural].pop(name)
        self.revision += 1
        metadata = {**document["metadata"], "resourceVersion": str(self.revision)}
        self.history[plural].append(Event("DELETED", {**document, "metadata": metadata}))

    def all(self, plural: str) -> list[Json]:
        """To read only: what is stored is replaced, but never changed."""
        return list(self.objects[plural].values())

    def pass_time(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def _store(self, event: str, plural: str, document: Json) -> Json:
        self.revision += 1
        document["metadata"]["resourceVersion"] = str(self.revision)
        self.objects[plural][document["metadata"]["name"]] = document
        self.history[plural].append(Event(event, document))
        return copied(document)


def copied(document: Any) -> Any:
    """A JSON document; `copy.deepcopy` takes several times as long."""
    if isinstance(document, dict):
        return {name: copied(value) for name, value in document.items()}
    return [copied(each) for each in document] if isinstance(document, list) else document


def is_over(pod: Json) -> bool:
    return pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


def merged(document: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return copied(patch)
    result = dict(document) if isinstance(document, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


@types.coroutine
def pause() -> Generator[None, None, None]:
    """Hands control to the driver of the operator."""
    yield


@dataclass
class SimulatedKubeClient:
    """One operator's client: the interface of `darkroom_operator.kube.client.KubeClient`."""

    api: SimulatedApi
    sent: int = 0
    sending: str | None = None
    """The request that is on its way to the server."""
    answered: str | None = None
    """The request whose answer is on its way back."""
    breaks: str | None = None
    """What is to happen to the next request: `lost` before it arrives, `unanswered` after, or `refused`."""

    async def _carry_out(self, what: str, request: Callable[[], Any], about: Json | None = None) -> Any:
        self.sent += 1
        self.sending = what
        await pause()
        self.sending = None
        broken, self.breaks = self.breaks, None
        if broken == "lost":
            raise UnreachableError(what, "the request was lost")
        if broken == "refused" or self.api.forbidden.get(what, lambda _: False)(about or {}):
            raise ApiError(what, 403, "Forbidden", "not now")
        answer = request()
        self.answered = what
        await pause()
        self.answered = None
        if broken == "unanswered":
            raise UnreachableError(what, "the answer was lost")
        return answer

    async def get_job(self, kind: Kind, name: str) -> Json:
        return await self._carry_out("get job", lambda: self.api.get(kind.plural, name))

    async def patch_status(self, kind: Kind, name: str, patch: Json) -> Json:
        def change() -> Json:
            faults = status_faults(merged(self.api.get(kind.plural, name), patch)["status"])
            assert not faults, faults
            if "patch status" in self.api.ignored:
                return self.api.get(kind.plural, name)
            kept = self._known(patch["status"])
            if kept.get("progress"):
                kept["progress"] = self._known(kept["progress"])
            return self.api.patch(kind.plural, name, {**patch, "status": kept})

        return await self._carry_out("patch status", change, {"name": name})

    def _known(self, fields: Json) -> Json:
        return {name: value for name, value in fields.items() if name not in self.api.dropped}

    async def delete_job(self, kind: Kind, name: str, uid: str) -> None:
        await self._carry_out("delete job", lambda: self.api.delete(kind.plural, name, {"uid": uid}))

    def list_jobs(self, kind: Kind) -> AsyncIterator[tuple[str, list[Json]]]:
        return self._list(kind.plural, {})

    async def create_pod(self, manifest: Json) -> Json:
        return await self._carry_out("create pod", lambda: self.api.create("pods", manifest), manifest)

    async def get_pod(self, name: str) -> Json:
        return await self._carry_out("get pod", lambda: self.api.get("pods", name))

    async def remove_gate(self, name: str, uid: str, gate: str, annotations: Mapping[str, str] | None = None) -> Json:
        return await self._carry_out("patch pod", lambda: self.api.remove_gate(name, gate, uid, annotations))

    async def patch_pod(self, name: str, patch: Json) -> Json:
        return await self._carry_out("patch pod", lambda: self.api.patch("pods", name, patch), {"name": name})

    async def delete_pod(self, name: str, uid: str, version: str) -> None:
        preconditions = {"uid": uid, "resourceVersion": version}
        await self._carry_out("delete pod", lambda: self.api.delete("pods", name, preconditions))

    def list_pods(self, selector: Mapping[str, str]) -> AsyncIterator[tuple[str, list[Json]]]:
        return self._list("pods", selector)

    async def create_lease(self, manifest: Json) -> Json:
        return await self._carry_out("create lease", lambda: self.api.create("leases", manifest))

    async def get_lease(self, name: str) -> Json:
        return await self._carry_out("get lease", lambda: self.api.get("leases", name))

    async def patch_lease(self, name: str, patch: Json) -> Json:
        return await self._carry_out("patch lease", lambda: self.api.patch("leases", name, patch))

    def list_leases(self, selector: Mapping[str, str]) -> AsyncIterator[tuple[str, list[Json]]]:
        return self._list("leases", selector)

    async def _list(self, plural: str, selector: Mapping[str, str]) -> AsyncIterator[tuple[str, list[Json]]]:
        def found() -> tuple[str, list[Json]]:
            documents = self.api.all(plural)
            return str(self.api.revision), [each for each in documents if _selects(selector, each)]

        yield await self._carry_out(f"list {plural}", found)


def _selects(selector: Mapping[str, str], document: Json) -> bool:
    return selector.items() <= document["metadata"].get("labels", {}).items()
