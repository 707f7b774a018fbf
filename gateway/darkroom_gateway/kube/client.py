"""The Kubernetes client: the gateway's only access to the API server.

Synchronous, on the official client. Call it from worker threads through backends/calls.py, never from the event loop.
Every request has timeouts and is sent once; the client may retry, and `Retry-After` says when.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kubernetes import client
from kubernetes.client.exceptions import ApiException
from pydantic import ValidationError

from darkroom_contract.jobs import Job, read_job
from darkroom_contract.names import (
    ANNOTATION_JOB,
    GROUP,
    LABEL_COMPONENT,
    LABEL_PART_OF,
    PART_OF,
    SLOT_COMPONENT,
    VERSION,
    Kind,
)
from darkroom_gateway.backends.deadlines import (
    CLUSTER_CONNECT_SECONDS,
    CLUSTER_READ_SILENCE_SECONDS,
    CLUSTER_WRITE_SILENCE_SECONDS,
)
from darkroom_gateway.errors import ClusterUnavailableError
from darkroom_gateway.kube.api_errors import is_existing_object, is_missing_object, mapped_errors, parse_job
from darkroom_gateway.kube.configuration import client_configuration
from darkroom_gateway.kube.watch_stream import HistoryLostError, changes
from darkroom_gateway.settings import Settings

log = logging.getLogger(__name__)

READ_TIMEOUT = (CLUSTER_CONNECT_SECONDS, CLUSTER_READ_SILENCE_SECONDS)
WRITE_TIMEOUT = (CLUSTER_CONNECT_SECONDS, CLUSTER_WRITE_SILENCE_SECONDS)
"""To connect, and between two bytes of the response. Without them the client waits forever."""

FIELD_MANAGER = "darkroom-gateway"

PAGE_SIZE = 500

WATCHED_PAGE_SIZE = 200
"""Page size of the lists that watches start with. The process keeps the memory that parsing one page takes."""

SLOTS = f"{LABEL_COMPONENT}={SLOT_COMPONENT},{LABEL_PART_OF}={PART_OF}"
"""Label selector of the Leases that are slots."""

WATCH_SILENCE_SECONDS = 1.5
"""How much longer than its timeout a watch may take before its connection counts as dead."""


@dataclass(frozen=True)
class Page:
    """A page of a list of jobs."""

    version: str
    """The resource version of the whole list."""
    documents: list[dict[str, Any]]


class AlreadyExistsError(Exception):
    """A job of that kind and name exists. Handled by the services, never part of an HTTP response."""


class KubeClient:
    """The jobs of one namespace."""

    def __init__(self, settings: Settings, seen: Callable[[dict[str, Any]], None] = lambda _: None) -> None:
        """`seen` is called with the document of every single job that is read or created here.

        Raises `SettingsError` when there is no usable kubeconfig.
        """
        self.namespace = settings.namespace
        self._seen = seen
        self._client = client.ApiClient(client_configuration(settings))
        self._objects = client.CustomObjectsApi(self._client)
        self._leases = client.CoordinationV1Api(self._client)

    @property
    def api(self) -> client.ApiClient:
        """For kube/objects.py."""
        return self._client

    def close(self) -> None:
        self._client.close()

    def get(self, kind: Kind, name: str) -> Job | None:
        """One job, or None when it does not exist. `name` must match `TASK_ID_PATTERN`."""
        with mapped_errors(f"read {kind}/{name}"):
            try:
                document = self._objects.get_namespaced_custom_object(
                    *self._resource(kind), name, _request_timeout=READ_TIMEOUT
                )
            except ApiException as error:
                if is_missing_object(error):
                    return None
                raise
        self._seen(document)
        return parse_job(document)

    def list(self, kind: Kind, labels: Mapping[str, str] | None = None) -> list[Job]:
        """All jobs of a kind, or those with these labels. Skips and logs jobs that this release can't read.

        Raises what `documents` raises.
        """
        jobs = []
        for document in self.documents(kind, labels):
            try:
                jobs.append(read_job({"kind": kind.value, **document}))
            except ValidationError as error:
                log.warning("skipped unreadable job %s/%s: %s", kind, document["metadata"]["name"], error)
        return jobs

    def documents(self, kind: Kind, labels: Mapping[str, str] | None = None) -> Iterator[dict[str, Any]]:
        """All jobs of a kind as the API server returns them, or those with these labels; readable or not.

        Raises `RejectedError`, or `ClusterUnavailableError`: also when the rest of the list has expired.
        """
        selector = ",".join(f"{name}={value}" for name, value in (labels or {}).items())
        token: str | None = None
        while token != "":
            try:
                with mapped_errors(f"list {kind.plural}"):
                    page = self._page(kind, limit=PAGE_SIZE, token=token, selector=selector)
            except HistoryLostError as error:
                raise ClusterUnavailableError(f"{error} Try again shortly.") from error
            yield from page["items"]
            token = page["metadata"].get("continue") or ""

    def create(self, document: dict[str, Any]) -> Job:
        """Create a job from a manifest. Raises `AlreadyExistsError`, `RejectedError` or `ClusterUnavailableError`."""
        kind = Kind(document["kind"])
        with mapped_errors(f"create {kind}/{document['metadata']['name']}"):
            try:
                created = self._objects.create_namespaced_custom_object(
                    *self._resource(kind),
                    document,
                    field_manager=FIELD_MANAGER,
                    field_validation="Strict",
                    _request_timeout=WRITE_TIMEOUT,
                )
            except ApiException as error:
                if is_existing_object(error):
                    raise AlreadyExistsError from error
                raise
        self._seen(created)
        return parse_job(created)

    def delete(self, job: Job) -> None:
        """Delete a job; its dependents are garbage-collected. A job that no longer exists is no error."""
        with mapped_errors(f"delete {job.key}"):
            try:
                self._objects.delete_namespaced_custom_object(
                    *self._resource(job.kind),
                    job.name,
                    propagation_policy="Background",
                    _request_timeout=WRITE_TIMEOUT,
                )
            except ApiException as error:
                if not is_missing_object(error):
                    raise

    def pages(self, kind: Kind) -> Iterator[Page]:
        """All jobs of a kind, page by page.

        Raises `HistoryLostError` when the rest of the list has expired, `ClusterUnavailableError` or `RejectedError`.
        """
        token: str | None = None
        while token != "":
            with mapped_errors(f"list {kind.plural}"):
                page = self._page(kind, limit=WATCHED_PAGE_SIZE, token=token)
            token = page["metadata"].get("continue") or ""
            yield Page(page["metadata"]["resourceVersion"], page.pop("items"))

    def watch(
        self, kind: Kind, version: str, seconds: int, opened: Callable[[Callable[[], None]], None] = lambda _: None
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """The changes after a resource version, each with its type. The API server ends the watch after `seconds`.

        A watch that returns has delivered every change up to its end. `opened` receives a function with which any
        thread can interrupt the watch. Raises `HistoryLostError`, `ClusterUnavailableError` or `RejectedError`.
        """
        with mapped_errors(f"watch {kind.plural}"):
            response = self._objects.list_namespaced_custom_object(
                *self._resource(kind),
                watch=True,
                resource_version=version,
                allow_watch_bookmarks=True,
                timeout_seconds=seconds,
                _preload_content=False,
                _request_timeout=(CLUSTER_CONNECT_SECONDS, seconds + WATCH_SILENCE_SECONDS),
            )
            try:
                opened(response.shutdown)
                yield from changes(kind, response)
            finally:
                response.close()

    def patch_metadata(self, kind: Kind, name: str, patch: dict[str, Any]) -> bool:
        """Change a job's labels, annotations or finalizers by a merge patch. False when the job does not exist.

        Raises `RejectedError` with status 409 when the patch names an outdated resource version.
        """
        with mapped_errors(f"change {kind}/{name}"):
            try:
                self._objects.patch_namespaced_custom_object(
                    *self._resource(kind),
                    name,
                    patch,
                    field_manager=FIELD_MANAGER,
                    _content_type="application/merge-patch+json",
                    _request_timeout=WRITE_TIMEOUT,
                )
            except ApiException as error:
                if not is_missing_object(error):
                    raise
                return False
        return True

    def change_spec(self, kind: Kind, name: str, fields: Mapping[str, Any]) -> Job | None:
        """Set fields of a job's spec. None when it does not exist.

        Raises `RejectedError` or `ClusterUnavailableError`.
        """
        with mapped_errors(f"change {kind}/{name}"):
            try:
                document = self._objects.patch_namespaced_custom_object(
                    *self._resource(kind),
                    name,
                    {"spec": dict(fields)},
                    field_manager=FIELD_MANAGER,
                    field_validation="Strict",
                    _content_type="application/merge-patch+json",
                    _request_timeout=WRITE_TIMEOUT,
                )
            except ApiException as error:
                if is_missing_object(error):
                    return None
                raise
        self._seen(document)
        return parse_job(document)

    def slot_holders(self) -> Sequence[str]:
        """The jobs that hold a slot, each as `Kind/name` or empty. Needs permission to list Leases."""
        with mapped_errors("list the slots"):
            leases = self._leases.list_namespaced_lease(
                self.namespace, label_selector=SLOTS, _request_timeout=READ_TIMEOUT
            ).items
        held = sorted((each for each in leases if each.spec.holder_identity), key=lambda each: each.metadata.name)
        return [(each.metadata.annotations or {}).get(ANNOTATION_JOB, "") for each in held]

    def check(self) -> None:
        """Raises `ClusterUnavailableError` or `RejectedError` unless jobs of both kinds can be listed."""
        for kind in Kind:
            with mapped_errors(f"list {kind.plural}"):
                self._page(kind, limit=1)

    def _resource(self, kind: Kind) -> tuple[str, str, str, str]:
        return GROUP, VERSION, self.namespace, kind.plural

    def _page(self, kind: Kind, limit: int, token: str | None = None, selector: str = "") -> dict[str, Any]:
        given = {"_continue": token or "", "label_selector": selector}
        more = {name: value for name, value in given.items() if value}
        page: dict[str, Any] = self._objects.list_namespaced_custom_object(
            *self._resource(kind), limit=limit, _request_timeout=READ_TIMEOUT, **more
        )
        return page
