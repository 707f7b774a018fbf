"""Removes photos that clients uploaded by links (`POST /v1/uploads`). Synchronous; called from worker threads by
sweeper.py.

A submission copies the photos that it has checked into a dataset of its own, so an upload is needed only until then. It
is kept for a day, for repeated submissions, and as long as a job from YAML refers to it.
"""

import logging
import re
from collections.abc import Collection
from datetime import datetime, timedelta

from darkroom_contract.storage.keys import dataset_prefix
from darkroom_gateway.deletion.background import run_for_each
from darkroom_gateway.deletion.deletable_job import DeletableJob
from darkroom_gateway.jobs.task_ids import UPLOAD_ID_PATTERN, UPLOAD_PREFIX
from darkroom_gateway.storage.client import ObjectStorage

log = logging.getLogger(__name__)

GRACE = timedelta(hours=24)
MAX_UPLOADS = 100_000
"""Maximum number of uploads that one sweep checks."""


class UploadCollector:
    """The uploads of one namespace."""

    def __init__(self, storage: ObjectStorage, namespace: str) -> None:
        self._storage = storage
        self._namespace = namespace

    def collect(self, jobs: Collection[DeletableJob], now: datetime) -> list[str]:
        """Remove old uploads and return their prefixes. `jobs` are all jobs of the namespace."""
        beginning = dataset_prefix(self._namespace) + UPLOAD_PREFIX
        folders = [UPLOAD_PREFIX + each for each in self._storage.list_folders(beginning, MAX_UPLOADS)]
        uploads = [dataset_prefix(self._namespace, each) for each in folders if re.fullmatch(UPLOAD_ID_PATTERN, each)]
        bucket = self._storage.bucket
        unused = [each for each in uploads if not any(job.references.reads_folder(bucket, each) for job in jobs)]
        removed: list[str] = []
        run_for_each(unused, lambda prefix: self._collect(prefix, now, removed), str)
        return removed

    def _collect(self, prefix: str, now: datetime, removed: list[str]) -> None:
        newest = self._storage.newest(prefix)
        if newest is None or newest > now - GRACE:
            return
        files = self._storage.delete_below(prefix)
        log.info("removed the upload %s with %d files", prefix, files)
        removed.append(prefix)
