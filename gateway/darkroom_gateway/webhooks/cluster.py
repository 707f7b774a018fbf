"""Requests of the webhooks to the API server: the record of a job, the Lease of the sender, and Events. Synchronous.

The client is that of kube/client.py. Call it from worker threads, never from the event loop.
"""

from datetime import UTC, datetime
from typing import Any

from kubernetes import client
from kubernetes.client.exceptions import ApiException

from darkroom_contract.event_reasons import EVENTS, EventReason
from darkroom_contract.jobs import Job
from darkroom_contract.names import ANNOTATION_WEBHOOK, API_VERSION, LABEL_COMPONENT, LABEL_PART_OF, PART_OF
from darkroom_contract.specs.webhook_event import WebhookEvent
from darkroom_contract.webhooks import Delivery, read_record, write_record
from darkroom_gateway.errors import ClusterUnavailableError, RejectedError
from darkroom_gateway.kube.api_errors import is_existing_object, is_missing_object, mapped_errors
from darkroom_gateway.kube.client import FIELD_MANAGER, READ_TIMEOUT, WRITE_TIMEOUT, KubeClient
from darkroom_gateway.webhooks.messages import message_id

Json = dict[str, Any]

LEASE = "darkroom-webhooks"
RECORD_TRIES = 5
"""The operator may update the job at the same time, which makes a patch of an older version fail."""
CONTROLLER = "darkroom.dev/darkroom-gateway"


class WebhookCluster:
    """The API server, as sender and election see it."""

    def __init__(self, kube: KubeClient) -> None:
        self._kube = kube
        # For objects of every group. It returns them as JSON, not as classes.
        self._objects = client.CustomObjectsApi(kube.api)

    def read(self, job: Job) -> Job | None:
        """The job as it is now; None when it no longer exists. Raises what `KubeClient.get` raises."""
        now = self._kube.get(job.kind, job.name)
        return now if now is not None and now.uid == job.uid else None

    def record(self, job: Job, event: WebhookEvent, delivery: Delivery) -> bool:
        """Store a delivery in the job. False when the job no longer exists. The other deliveries are kept."""
        for _ in range(RECORD_TRIES):
            now = self.read(job)
            if now is None:
                return False
            record = write_record({**read_record(now), event: delivery})
            metadata = {"resourceVersion": now.resource_version, "annotations": {ANNOTATION_WEBHOOK: record}}
            try:
                return self._kube.patch_metadata(job.kind, job.name, {"metadata": metadata})
            except RejectedError as error:
                if error.status != 409:
                    raise
        raise ClusterUnavailableError(f"{job.key} changes all the time: its webhook record can't be written.")

    def read_lease(self) -> Json | None:
        with mapped_errors(f"read the Lease {LEASE}"):
            try:
                lease: Json = self._objects.get_namespaced_custom_object(
                    *self._leases(), LEASE, _request_timeout=READ_TIMEOUT
                )
            except ApiException as error:
                if is_missing_object(error):
                    return None
                raise
        return lease

    def write_lease(self, before: Json | None, spec: Json) -> Json | None:
        """Create the Lease, or replace the version that was read. None when another gateway was faster."""
        metadata: Json = {"name": LEASE, "labels": {LABEL_COMPONENT: "gateway", LABEL_PART_OF: PART_OF}}
        document = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
        with mapped_errors(f"write the Lease {LEASE}"):
            try:
                if before is None:
                    return self._created(*self._leases(), document)
                metadata["resourceVersion"] = before["metadata"]["resourceVersion"]
                lease: Json = self._objects.replace_namespaced_custom_object(
                    *self._leases(), LEASE, document, _request_timeout=WRITE_TIMEOUT
                )
            except ApiException as error:
                if error.status == 409 or is_missing_object(error):
                    return None
                raise
        return lease

    def post_failure(self, job: Job, event: WebhookEvent, note: str) -> None:
        """Post an Event on the job, once for each of its webhooks."""
        meaning = EVENTS[EventReason.WEBHOOK_FAILED]
        document = {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": message_id(job.uid, event).replace("_", "-"), "namespace": job.namespace},
            "eventTime": micro_time(datetime.now(UTC)),
            "reportingController": CONTROLLER,
            "reportingInstance": "darkroom-gateway",
            "type": meaning.type.value,
            "reason": EventReason.WEBHOOK_FAILED.value,
            "action": meaning.action,
            "note": note,
            "regarding": {
                "apiVersion": API_VERSION,
                "kind": job.kind.value,
                "name": job.name,
                "namespace": job.namespace,
                "uid": job.uid,
            },
        }
        with mapped_errors(f"post an Event on {job.key}"):
            try:
                self._created("events.k8s.io", "v1", self._kube.namespace, "events", document)
            except ApiException as error:
                if not is_existing_object(error):
                    raise

    def _leases(self) -> tuple[str, str, str, str]:
        return "coordination.k8s.io", "v1", self._kube.namespace, "leases"

    def _created(self, group: str, version: str, namespace: str, plural: str, document: Json) -> Json:
        made: Json = self._objects.create_namespaced_custom_object(
            group, version, namespace, plural, document, field_manager=FIELD_MANAGER, _request_timeout=WRITE_TIMEOUT
        )
        return made


def micro_time(moment: datetime) -> str:
    """A `metav1.MicroTime`, which has exactly six decimals."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
