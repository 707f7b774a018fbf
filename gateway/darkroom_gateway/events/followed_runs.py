"""The runs in progress, whose progress goes to the stream of all jobs. Used by events/namespace_follower.py.

Taps the feeds of the jobs that start or run, so that these streams are read by the one reader of all event streams. The
end of a run is shown only after all of its progress.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from darkroom_contract.jobs import Job
from darkroom_contract.status import Phase
from darkroom_gateway.errors import GatewayError
from darkroom_gateway.events.feed import JobFeed
from darkroom_gateway.events.hub import EventHub
from darkroom_gateway.events.job_changes import Change
from darkroom_gateway.events.namespace_feed import NamespaceFeed
from darkroom_gateway.jobs.serializers import phase_of
from darkroom_gateway.redis.progress_streams import BEGINNING, Entry, EntryId

ACTIVE = (Phase.STARTING, Phase.RUNNING)

EVERYTHING = EntryId(2**64, 0)
"""After all entries."""


@dataclass(slots=True)
class _Run:
    """A job with a run in progress."""

    feed: JobFeed
    shown: Job
    """The state that was sent last."""
    skip_until: EntryId
    """While the backlog of its stream is read: the last entry of it that is not sent."""
    is_backlog_read: bool = False
    end: Change | None = None
    """Sent once all progress was read."""


class FollowedRuns:
    """The runs by uid of their jobs. A `Tap` of their feeds. Used on the event loop only."""

    def __init__(self, hub: EventHub, feed: NamespaceFeed) -> None:
        self._hub = hub
        self._feed = feed
        self._runs: dict[str, _Run] = {}
        self._read_until: dict[str, EntryId] = {}
        """The last entry of each unfinished job that was sent: the stream of a next run begins with those before."""
        self._unread: set[str] = set()
        """Jobs whose progress can't be read."""

    @property
    def jobs(self) -> list[Job]:
        return [run.shown for run in self._runs.values()]

    @property
    def is_backlog_read(self) -> bool:
        return all(run.is_backlog_read for run in self._runs.values())

    def close(self) -> None:
        for run in self._runs.values():
            self._hub.untap(run.feed, self)
        self._runs = {}

    def begin(self, job: Job, skip_until: EntryId = EVERYTHING) -> _Run:
        """Follow a run. Its progress up to `skip_until`, by default up to now, is not sent."""
        run = self._runs[job.uid] = _Run(self._hub.tap(job, self), job, skip_until)
        run.feed.when_read(partial(setattr, run, "is_backlog_read", True))
        return run

    def apply(self, change: Change) -> None:
        """Send the change, and begin or end to follow the job's run."""
        job, run = change.job, self._runs.get(change.job.uid)
        is_active = not change.is_deleted and phase_of(job) in ACTIVE
        if run is not None and is_active and run.feed.end is not None:  # The feed has failed.
            self._forget(job.uid)
            run = None
        if run is None:
            if is_active:
                self.begin(job, self._read_until.get(job.uid, BEGINNING))
            self._send(change)
        elif run.end is not None:
            run.end = change
        elif is_active:
            self._send_if_changed(run, job)
        else:
            run.end = change
            if change.is_deleted:
                run.feed.end_with("Deleted")
            else:
                run.feed.see(job)
            run.feed.when_read(partial(self._end, job.uid))

    def _send_if_changed(self, run: _Run, job: Job) -> None:
        """Progress in the status is sent only while there is none from Redis; finished images always are."""
        if _state(run.shown) != _state(job) or self._feed.is_lost("progress"):
            self._feed.show(job)
        run.shown = job
        run.feed.see(job)

    def _end(self, uid: str) -> None:
        run = self._runs.get(uid)
        if run is None or (end := run.end) is None:  # The feed outlives its tap.
            return
        run.end = None
        if not end.is_deleted and phase_of(end.job) in ACTIVE:  # It has started again meanwhile.
            self._send_if_changed(run, end.job)
        else:
            self._forget(uid)
            self._send(end)

    def _forget(self, uid: str) -> None:
        run = self._runs.pop(uid)
        self._hub.untap(run.feed, self)
        self._regain(uid)

    def _send(self, change: Change) -> None:
        if change.is_deleted or phase_of(change.job).is_terminal:
            self._read_until.pop(change.job.uid, None)
        if change.is_deleted:
            self._feed.delete(change.job)
        else:
            self._feed.show(change.job)

    # --- Tap -------------------------------------------------------------------------------------------------------

    def add(self, job: Job, entries: Sequence[Entry]) -> None:
        run = self._runs[job.uid]
        if not run.is_backlog_read:
            entries = [each for each in entries if each.id > run.skip_until]
        if entries:
            self._read_until[job.uid] = entries[-1].id
            self._feed.report(job, entries)

    def lose(self, job: Job, error: GatewayError) -> None:
        self._unread.add(job.uid)
        self._feed.lose("progress", error)

    def regain(self, job: Job) -> None:
        self._regain(job.uid)

    def _regain(self, uid: str) -> None:
        self._unread.discard(uid)
        if not self._unread:
            self._feed.regain("progress")


def _state(job: Job) -> tuple[Job, object]:
    """The job without its progress, and its finished images."""
    images = None if job.status.progress is None else job.status.progress.finished_images
    # `order` is the resource version until the operator has set it.
    status = job.status.model_copy(update={"progress": None})
    return replace(job, resource_version="", order=0, status=status), images
