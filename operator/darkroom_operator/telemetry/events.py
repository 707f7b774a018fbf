"""Kubernetes Events on jobs: one for each remark of a run, so that `kubectl describe` shows what it changed.

`reconcile/executor.py` records them and a separate task posts them, so a slow or refusing API server delays nothing
else. An Event may get lost; the remarks themselves are in the job's status.
"""

import asyncio
import hashlib
import logging
from collections import deque
from datetime import datetime

from darkroom_contract.jobs import Job
from darkroom_contract.names import API_VERSION
from darkroom_contract.remarks import Remark, RemarkReason
from darkroom_operator.errors import AlreadyExistsError, ApiError
from darkroom_operator.kube.client import FIELD_MANAGER, KubeClient
from darkroom_operator.kube.objects import Json, micro_time

log = logging.getLogger(__name__)

MAX_WAITING = 1000
"""The limit of the queue. When it is full, the oldest Events are dropped."""
MAX_NAME_LENGTH = 253
MAX_MESSAGE_BYTES = 1024
"""The API server refuses a longer one in an Event with an eventTime."""
PAUSE_SECONDS = 0.05
"""Between two Events: at most 20 a second."""

_HARMLESS = frozenset(
    {RemarkReason.PHOTOS_CONVERTED, RemarkReason.PICTURE_CROPPED, RemarkReason.PICTURE_PADDED, RemarkReason.DRAWN_AGAIN}
)
"""Changes that improve the result. The others are Warnings."""


def remark_event(job: Job, remark: Remark, now: datetime) -> Json:
    """The Event of a remark (core/v1). Its name is derived from job and remark, so posting it twice creates one."""
    digest = hashlib.blake2b(f"{job.uid} {remark.reason} {remark.message}".encode(), digest_size=8).hexdigest()
    moment = now.isoformat(timespec="seconds").replace("+00:00", "Z")
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{job.name[: MAX_NAME_LENGTH - 17]}.{digest}", "namespace": job.namespace},
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": job.kind.value,
            "name": job.name,
            "namespace": job.namespace,
            "uid": job.uid,
        },
        "type": "Normal" if remark.reason in _HARMLESS else "Warning",
        "reason": remark.reason,
        "message": remark.message.encode()[:MAX_MESSAGE_BYTES].decode(errors="ignore"),
        "action": "Run",
        "eventTime": micro_time(now),
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "count": 1,
        "reportingComponent": f"darkroom.dev/{FIELD_MANAGER}",
        "reportingInstance": FIELD_MANAGER,
        "source": {"component": FIELD_MANAGER},
    }


class EventRecorder:
    """A bounded queue of Events, and the task that posts them."""

    def __init__(self) -> None:
        self._waiting: deque[Json] = deque(maxlen=MAX_WAITING)
        self._recorded = asyncio.Event()

    @property
    def waiting(self) -> tuple[Json, ...]:
        """Recorded and not yet posted, the oldest first."""
        return tuple(self._waiting)

    def record(self, event: Json) -> None:
        """Never blocks and never fails."""
        self._waiting.append(event)
        self._recorded.set()

    async def run(self, kube: KubeClient) -> None:
        """Post Events forever. One that is refused is dropped with a warning in the log."""
        while True:
            await self._recorded.wait()
            self._recorded.clear()
            while self._waiting:
                await self._post(kube, self._waiting.popleft())
                await asyncio.sleep(PAUSE_SECONDS)

    @staticmethod
    async def _post(kube: KubeClient, event: Json) -> None:
        try:
            await kube.create_event(event)
        except AlreadyExistsError:
            return
        except ApiError as error:
            log.warning(
                "the Event %s on %s was not posted: %s", event["reason"], event["involvedObject"]["name"], error
            )
