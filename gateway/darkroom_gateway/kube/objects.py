"""Objects of any API group in the namespace, as JSON. Synchronous; used by webhooks/cluster.py, in worker threads.

They have no class here: the official client would convert their times, and a Lease accepts one form of them only.
"""

from typing import Any

from kubernetes import client
from kubernetes.client.exceptions import ApiException

from darkroom_gateway.kube.api_errors import is_existing_object, is_missing_object, mapped_errors
from darkroom_gateway.kube.client import FIELD_MANAGER, READ_TIMEOUT, WRITE_TIMEOUT, KubeClient

Json = dict[str, Any]
Resource = tuple[str, str, str]
"""API group, version and plural."""

LEASES: Resource = ("coordination.k8s.io", "v1", "leases")
EVENTS: Resource = ("events.k8s.io", "v1", "events")


class KubeObjects:
    """Every method raises `ClusterUnavailableError` or `RejectedError`."""

    def __init__(self, kube: KubeClient) -> None:
        self._namespace = kube.namespace
        self._objects = client.CustomObjectsApi(kube.api)

    def read(self, resource: Resource, name: str) -> Json | None:
        """None when it does not exist."""
        with mapped_errors(f"read {resource[2]}/{name}"):
            try:
                found: Json = self._objects.get_namespaced_custom_object(
                    *self._place(resource), name, _request_timeout=READ_TIMEOUT
                )
            except ApiException as error:
                if is_missing_object(error):
                    return None
                raise
        return found

    def create(self, resource: Resource, document: Json) -> Json | None:
        """None when it exists already."""
        with mapped_errors(f"create {resource[2]}/{document['metadata']['name']}"):
            try:
                made: Json = self._objects.create_namespaced_custom_object(
                    *self._place(resource), document, field_manager=FIELD_MANAGER, _request_timeout=WRITE_TIMEOUT
                )
            except ApiException as error:
                if is_existing_object(error):
                    return None
                raise
        return made

    def replace(self, resource: Resource, document: Json) -> Json | None:
        """None when it has another resource version than `document`, or no longer exists."""
        name = document["metadata"]["name"]
        with mapped_errors(f"replace {resource[2]}/{name}"):
            try:
                made: Json = self._objects.replace_namespaced_custom_object(
                    *self._place(resource), name, document, _request_timeout=WRITE_TIMEOUT
                )
            except ApiException as error:
                if error.status == 409 or is_missing_object(error):
                    return None
                raise
        return made

    def _place(self, resource: Resource) -> tuple[str, str, str, str]:
        group, version, plural = resource
        return group, version, self._namespace, plural
