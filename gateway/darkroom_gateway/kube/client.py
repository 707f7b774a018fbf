"""The door to the API server. Everything the gateway reads from or writes to the cluster passes here.

Synchronous, on the official client: called from worker threads, through backends/calls.py, never from the event loop.
Every request has timeouts and is tried once; the client may try again, and `Retry-After` says when.
"""

import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import urllib3
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.config import ConfigException
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
from darkroom_gateway.backends.calls import CLUSTER_CALLS
from darkroom_gateway.backends.deadlines import (
    CLUSTER_CONNECT_SECONDS,
    CLUSTER_READ_SILENCE_SECONDS,
    CLUSTER_WRITE_SILENCE_SECONDS,
)
from darkroom_gateway.errors import (
    ClusterUnavailableError,
    FieldError,
    RejectedError,
    SettingsError,
    UnreadableJobError,
)
from darkroom_gateway.kube.watch_stream import EXPIRED, HistoryLostError, changes
from darkroom_gateway.settings import Settings

log = logging.getLogger(__name__)

READ_TIMEOUT = (CLUSTER_CONNECT_SECONDS, CLUSTER_READ_SILENCE_SECONDS)
WRITE_TIMEOUT = (CLUSTER_CONNECT_SECONDS, CLUSTER_WRITE_SILENCE_SECONDS)
"""To connect, and between two bytes of the answer. The client has no default: without them a request waits for ever."""

PAGE_SIZE = 500

WATCHED_PAGE_SIZE = 200
"""Of the lists that watches begin with. What a page takes in memory while it is parsed stays with the process."""

POOL_SIZE = CLUSTER_CALLS + 8
"""Connections that are kept: for the calls in progress, and for checks and watches. urllib3 makes more when it needs
them, so nobody waits for one, and throws each of those away after its use."""

SLOTS = f"{LABEL_COMPONENT}={SLOT_COMPONENT},{LABEL_PART_OF}={PART_OF}"
"""Selects the Leases that are slots."""

HANDED_ON = frozenset({400, 403, 409, 422})
"""Refusals that say something about the request; every other one is about the cluster."""


WATCH_SILENCE_SECONDS = 1.5
"""How much longer than its own time a watch may take to end before its connection counts as dead."""


@dataclass(frozen=True)
class Page:
    """A part of a list of jobs."""

    version: str
    """The resource version of the whole list."""
    documents: list[dict[str, Any]]


class AlreadyExistsError(Exception):
    """A job of that kind and name is there already. Caught by the services, never answered."""


class KubeClient:
    """The jobs of one namespace."""

    def __init__(self, settings: Settings, seen: Callable[[dict[str, Any]], None] = lambda _: None) -> None:
        """`seen` gets every single job that is read or created here, as a document."""
        self.namespace = settings.namespace
        self._seen = seen
        self._client = client.ApiClient(_configuration(settings))
        self._objects = client.CustomObjectsApi(self._client)
        self._leases = client.CoordinationV1Api(self._client)

    def close(self) -> None:
        self._client.close()

    def get(self, kind: Kind, name: str) -> Job | None:
        """One job, or None when there is none of that name. `name` must have passed `TASK_ID_PATTERN`."""
        with _mapped(f"read {kind}/{name}"):
            try:
                document = self._objects.get_namespaced_custom_object(
                    GROUP, VERSION, self.namespace, kind.plural, name, _request_timeout=READ_TIMEOUT
                )
            except ApiException as error:
                if _is_missing_object(error):
                    return None
                raise
        self._seen(document)
        return _read(document)

    def list(self, kind: Kind, labels: Mapping[str, str] | None = None) -> list[Job]:
        """All jobs of a kind, or those with these labels. What this release can't read is left out, and logged.

        Raises what `documents` raises.
        """
        jobs = []
        for document in self.documents(kind, labels):
            try:
                jobs.append(read_job({"kind": kind.value, **document}))
            except ValidationError as error:
                log.warning("left out %s/%s, which can't be read: %s", kind, document["metadata"]["name"], error)
        return jobs

    def documents(self, kind: Kind, labels: Mapping[str, str] | None = None) -> Iterator[dict[str, Any]]:
        """All jobs of a kind as the API server returns them, or those with these labels; readable or not.

        Raises `RejectedError`, or `ClusterUnavailableError`: also when the rest of the list is no longer available.
        """
        selector = ",".join(f"{name}={value}" for name, value in (labels or {}).items())
        token: str | None = None
        while token != "":
            try:
                with _mapped(f"list {kind.plural}"):
                    page = self._page(kind, limit=PAGE_SIZE, token=token, selector=selector)
            except HistoryLostError as error:
                raise ClusterUnavailableError(f"{error} Try again shortly.") from error
            yield from page["items"]
            token = page["metadata"].get("continue") or ""

    def create(self, document: dict[str, Any]) -> Job:
        """Create a job from a manifest. Raises `AlreadyExistsError`, `RejectedError` or `ClusterUnavailableError`."""
        kind = Kind(document["kind"])
        with _mapped(f"create {kind}/{document['metadata']['name']}"):
            try:
                created = self._objects.create_namespaced_custom_object(
                    GROUP,
                    VERSION,
                    self.namespace,
                    kind.plural,
                    document,
                    field_manager="darkroom-gateway",
                    field_validation="Strict",
                    _request_timeout=WRITE_TIMEOUT,
                )
            except ApiException as error:
                if error.status == 409 and _status(error).get("reason") == "AlreadyExists":
                    raise AlreadyExistsError from error
                raise
        self._seen(created)
        return _read(created)

    def delete(self, job: Job) -> None:
        """Ask for a job's removal; what it owns goes with it. A job that is gone already is no error."""
        with _mapped(f"delete {job.key}"):
            try:
                self._objects.delete_namespaced_custom_object(
                    GROUP,
                    VERSION,
                    self.namespace,
                    job.kind.plural,
                    job.name,
                    propagation_policy="Background",
                    _request_timeout=WRITE_TIMEOUT,
                )
            except ApiException as error:
                if not _is_missing_object(error):
                    raise

    def pages(self, kind: Kind) -> Iterator[Page]:
        """All jobs of a kind, page by page.

        Raises `HistoryLostError` when a page is no longer available, `ClusterUnavailableError` or `RejectedError`.
        """
        token: str | None = None
        while token != "":
            with _mapped(f"list {kind.plural}"):
                page = self._page(kind, limit=WATCHED_PAGE_SIZE, token=token)
            token = page["metadata"].get("continue") or ""
            yield Page(page["metadata"]["resourceVersion"], page.pop("items"))

    def watch(
        self, kind: Kind, version: str, seconds: int, opened: Callable[[Callable[[], None]], None] = lambda _: None
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """The changes after a resource version, each with its type. The API server ends the watch after `seconds`.

        A watch that returns has delivered every change up to its end. `opened` gets a function that any thread may call
        to interrupt the watch. Raises `HistoryLostError`, `ClusterUnavailableError` or `RejectedError`.
        """
        with _mapped(f"watch {kind.plural}"):
            response = self._objects.list_namespaced_custom_object(
                GROUP,
                VERSION,
                self.namespace,
                kind.plural,
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
        """Change a job's labels or finalizers by a merge patch. False when the job is gone.

        Raises `RejectedError` with status 409 when the patch names a resource version that is not the newest.
        """
        with _mapped(f"change {kind}/{name}"):
            try:
                self._objects.patch_namespaced_custom_object(
                    GROUP,
                    VERSION,
                    self.namespace,
                    kind.plural,
                    name,
                    patch,
                    field_manager="darkroom-gateway",
                    _content_type="application/merge-patch+json",
                    _request_timeout=WRITE_TIMEOUT,
                )
            except ApiException as error:
                if not _is_missing_object(error):
                    raise
                return False
        return True

    def slot_holders(self) -> Sequence[str]:
        """The jobs that hold a slot now, as `Kind/name`, or empty. Needs leave to list Leases."""
        with _mapped("list the slots"):
            leases = self._leases.list_namespaced_lease(
                self.namespace, label_selector=SLOTS, _request_timeout=READ_TIMEOUT
            ).items
        held = sorted((each for each in leases if each.spec.holder_identity), key=lambda each: each.metadata.name)
        return [(each.metadata.annotations or {}).get(ANNOTATION_JOB, "") for each in held]

    def check(self) -> None:
        """Raises `ClusterUnavailableError` or `RejectedError` unless jobs of both kinds can be listed."""
        for kind in Kind:
            with _mapped(f"list {kind.plural}"):
                self._page(kind, limit=1)

    def _page(self, kind: Kind, limit: int, token: str | None = None, selector: str = "") -> dict[str, Any]:
        given = {"_continue": token or "", "label_selector": selector}
        more = {name: value for name, value in given.items() if value}
        page: dict[str, Any] = self._objects.list_namespaced_custom_object(
            GROUP, VERSION, self.namespace, kind.plural, limit=limit, _request_timeout=READ_TIMEOUT, **more
        )
        return page


def _configuration(settings: Settings) -> client.Configuration:
    configuration = client.Configuration()
    try:
        if settings.kubeconfig is None and "KUBERNETES_SERVICE_HOST" in os.environ:
            config.load_incluster_config(client_configuration=configuration)
        else:
            config.load_kube_config(settings.kubeconfig, client_configuration=configuration)
    except ConfigException as error:
        raise SettingsError(f"no way to the cluster: {error}. Set KUBECONFIG to the path of a kubeconfig.") from error
    configuration.retries = False
    configuration.connection_pool_maxsize = POOL_SIZE
    return configuration


def _read(document: dict[str, Any]) -> Job:
    try:
        return read_job(document)
    except ValidationError as error:
        metadata = document["metadata"]
        raise UnreadableJobError(
            f"{document['kind']}/{metadata['name']} does not fit the schema of this release: {error}. "
            "It was probably made by another release; delete it and submit it again."
        ) from error


@contextmanager
def _mapped(action: str) -> Iterator[None]:
    """Errors of the client, as ours."""
    try:
        yield
    except ApiException as error:
        if error.status == EXPIRED:
            raise HistoryLostError(str(refusal(action, error))) from error
        raise refusal(action, error) from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
        never_sent = isinstance(error, urllib3.exceptions.NewConnectionError | urllib3.exceptions.ConnectTimeoutError)
        raise ClusterUnavailableError(
            f"The cluster did not {action}: it can't be reached. Try again shortly.", maybe_done=not never_sent
        ) from error


def refusal(action: str, error: ApiException) -> RejectedError | ClusterUnavailableError:
    """What an answer of the API server that is no success means to a person. Pure."""
    status = _status(error)
    message = status.get("message") or error.reason or f"status {error.status}"
    if error.status in HANDED_ON:
        causes = (status.get("details") or {}).get("causes") or []
        field_errors = tuple(FieldError(each.get("field", ""), each.get("message", "")) for each in causes)
        return RejectedError(error.status, f"The cluster refused to {action}: {message}", field_errors)
    if error.status == 404:
        message += ". Install Darkroom's CRDs (kubectl apply -f crds/), and see that the namespace exists"
    if error.status == 401:
        message = "it does not accept the gateway's credentials"
    return ClusterUnavailableError(f"The cluster did not {action}: {message}.", maybe_done=error.status >= 500)


def _is_missing_object(error: ApiException) -> bool:
    """Whether a 404 means the object. Without CRDs, or without their group, there is a 404 too."""
    return error.status == 404 and bool((_status(error).get("details") or {}).get("name"))


def _status(error: ApiException) -> dict[str, Any]:
    """The `Status` object in an answer, or nothing when it is none (a proxy's page)."""
    try:
        status = json.loads(error.body or "")
    except ValueError:
        return {}
    return status if isinstance(status, dict) else {}
