"""Retention of uploaded photos and start pictures. Synchronous; called from worker threads by sweeper.py.

A dataset expires when all jobs that refer to it ended before the retention period, and its newest photo is older than
that too, because photos are stored before their job is created. Datasets without jobs expire by the age of their
photos."""

import logging
import re
from collections.abc import Collection
from datetime import datetime, timedelta

from darkroom_contract.storage.keys import dataset_prefix, images_prefix
from darkroom_gateway.deletion.background import run_for_each
from darkroom_gateway.deletion.deletable_job import DeletableJob, owned_folders
from darkroom_gateway.jobs.task_ids import DATASET_ID_PATTERN
from darkroom_gateway.storage.client import ObjectStorage

log = logging.getLogger(__name__)

MAX_DATASETS = 100_000
"""Maximum number of datasets that one sweep checks."""


class DatasetRetention:
    """The datasets of one namespace."""

    def __init__(self, storage: ObjectStorage, namespace: str, retention: timedelta | None) -> None:
        self._storage = storage
        self._namespace = namespace
        self._retention = retention

    def sweep(self, jobs: Collection[DeletableJob], now: datetime) -> list[str]:
        """Remove expired datasets and return their prefixes. `jobs` are all jobs of the namespace."""
        if self._retention is None:
            return []
        since = now - self._retention
        needed = needed_datasets(jobs, self._storage.bucket, self._namespace, since)
        prefixes = [
            root + each
            for root in (dataset_prefix(self._namespace), images_prefix(self._namespace))
            for each in self._uploads(root)
        ]
        unneeded = [each for each in prefixes if not any(one.startswith(each) for one in needed)]
        expired: list[str] = []
        run_for_each(unneeded, lambda prefix: self._expire(prefix, since, expired), str)
        return expired

    def _uploads(self, root: str) -> list[str]:
        """Folders of uploads, with a slash at their end."""
        folders = self._storage.list_folders(root, MAX_DATASETS)
        return [f"{each}/" for each in folders if re.fullmatch(DATASET_ID_PATTERN, each)]

    def _expire(self, prefix: str, since: datetime, expired: list[str]) -> None:
        newest = self._storage.newest(prefix)
        if newest is None or newest > since:
            return
        photos = self._storage.delete_folder(prefix)
        log.info("removed the expired upload %s with %d files", prefix, photos)
        expired.append(prefix)


def needed_datasets(jobs: Collection[DeletableJob], bucket: str, namespace: str, since: datetime) -> set[str]:
    """The prefixes of datasets and uploads of unfinished jobs, and of jobs that ended after `since`."""
    kept = [job for job in jobs if not job.finished or job.ended is None or job.ended > since]
    return {prefix for job in kept for prefix in owned_folders(job, bucket, namespace)}
