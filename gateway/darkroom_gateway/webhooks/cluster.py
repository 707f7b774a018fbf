"""Requests of the webhooks to the API server: the record of a job, the Lease of the sender, and Events. Synchronous.

Call it from worker threads, never from the event loop.
"""

from datetime import UTC, datetime

from darkroom_contract.event_reasons import EVENTS as MEANINGS
from darkroom_contract.event_reasons import EventReason
from darkroom_contract.jobs import Job
from darkroom_contract.names import ANNOTATION_WEBHOOK, API_VERSION, LABEL_COMPONENT, LABEL_PART_OF, PART_OF
from darkroom_contract.specs.webhook_event import WebhookEvent
from darkroom_contract.webhooks import Delivery, read_record, write_record
from darkroom_gateway.errors import ClusterUnavailableError, RejectedError
from darkroom_gateway.kube.client import KubeClient
from darkroom_gateway.kube.objects import EVENTS, LEASES, Json, KubeObjects
from darkroom_gateway.webhooks.messages import message_id

LEASE = "darkroom-webhooks"
RECORD_TRIES = 5
"""The operator may update the job at the same time, which makes a patch of an older version fail."""
CONTROLLER = "darkroom.dev/darkroom-gateway"


class WebhookCluster:
    """The API server, as sender and election see it."""

    def __init__(self, kube: KubeClient) -> None:
        self._kube = kube
        self._objects = KubeObjects(kube)

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
        return self._objects.read(LEASES, LEASE)

    def write_lease(self, before: Json | None, spec: Json) -> Json | None:
        """Create the Lease, or replace the version that was read. None when another gateway was faster."""
        metadata: Json = {"name": LEASE, "labels": {LABEL_COMPONENT: "gateway", LABEL_PART_OF: PART_OF}}
        document = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
        if before is None:
            return self._objects.create(LEASES, document)
        metadata["resourceVersion"] = before["metadata"]["resourceVersion"]
        return self._objects.replace(LEASES, document)

    def post_failure(self, job: Job, event: WebhookEvent, note: str) -> None:
        """Post an Event on the job, once for each of its webhooks."""
        meaning = MEANINGS[EventReason.WEBHOOK_FAILED]
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
        self._objects.create(EVENTS, document)


def micro_time(moment: datetime) -> str:
    """A `metav1.MicroTime`, which has exactly six decimals."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
