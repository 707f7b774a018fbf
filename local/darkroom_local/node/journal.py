"""The node's journal of runs: a file with one JSON line for each start and each end of a pod, in order.

Written by the pod workers; read by the node at its start, and by tests. A start is on disk before the pod's first
program executes, and an end is written after its last process was reaped. So two runs overlapped if and only if the
second start precedes the first end. In a pod of several containers each container's end has a line too, for a restarted
node. Lines are compared by their order, not by `time_ns`: CLOCK_REALTIME continues over restarts, but can be set.

The operator may hand a running pod over to another job, by its labels. A line records that before the pod can read its
next run document, and `runs_by_job` splits the pod's record at such lines.
"""

import errno
import json
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import combinations
from pathlib import Path
from typing import Any

from darkroom_contract.names import LABEL_ATTEMPT, LABEL_JOB_UID


class Event(StrEnum):
    START = "start"
    LABELS = "labels"
    CONTAINER_END = "container end"
    END = "end"


LOST = "lost with the node"
"""The `note` of an end that a restarted node wrote for a run of its predecessor."""
SHUT_DOWN = "stopped with the node"
"""The `note` of a run that ended because the node was shut down."""


@dataclass(frozen=True)
class ContainerEnd:
    """How one container ended, in the terms of a container runtime."""

    exit_code: int
    reason: str
    """Completed, Error or OOMKilled."""
    start_ns: int
    end_ns: int


@dataclass(frozen=True)
class LabelChange:
    """New labels of a running pod."""

    line: int
    """Number of its line, from 0."""
    time_ns: int
    labels: dict[str, str]


@dataclass(frozen=True)
class RunRecord:
    """One run of a pod, from its start line to its end line."""

    pod_uid: str
    pod_name: str
    pid: int
    """Of its first process."""
    began: int
    """Number of the start line, from 0."""
    start_ns: int
    ended: int | None = None
    """Number of the end line; None while it runs."""
    end_ns: int | None = None
    exit_code: int | None = None
    """Of its first main container."""
    reason: str = ""
    """Of the same container: Completed, Error or OOMKilled."""
    note: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    """The pod's labels at its start, which name the job."""
    label_changes: tuple[LabelChange, ...] = ()
    containers: dict[str, ContainerEnd] = field(default_factory=dict)
    """The ends of its containers, in a pod of several."""

    @property
    def newest_labels(self) -> dict[str, str]:
        return self.label_changes[-1].labels if self.label_changes else self.labels


def read_journal(path: Path) -> list[RunRecord]:
    """The runs in a journal file, in the order of their starts. An incomplete last line is ignored."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return pair_events(json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n"))


def pair_events(entries: Iterable[dict[str, Any]]) -> list[RunRecord]:
    """Match starts and ends. Raises `ValueError` for an end without a start, or for two starts of a pod."""
    runs: dict[str, RunRecord] = {}
    for number, entry in enumerate(entries):
        uid = entry["uid"]
        match Event(entry["event"]):
            case Event.START if uid not in runs:
                runs[uid] = _started(entry, number)
            case Event.LABELS if uid in runs and runs[uid].ended is None:
                runs[uid] = _relabelled(runs[uid], entry, number)
            case Event.CONTAINER_END if uid in runs and runs[uid].ended is None:
                runs[uid] = _with_container(runs[uid], entry)
            case Event.END if uid in runs and runs[uid].ended is None:
                runs[uid] = _ended(runs[uid], entry, number)
            case event:
                raise ValueError(f"line {number + 1}: an unexpected {event} of pod {entry['pod']} ({uid})")
    return list(runs.values())


def _started(entry: dict[str, Any], number: int) -> RunRecord:
    return RunRecord(
        pod_uid=entry["uid"],
        pod_name=entry["pod"],
        pid=entry["pid"],
        began=number,
        start_ns=entry["time_ns"],
        labels=entry["labels"],
    )


def _ended(run: RunRecord, entry: dict[str, Any], number: int) -> RunRecord:
    return replace(
        run,
        ended=number,
        end_ns=entry["time_ns"],
        exit_code=entry["exit_code"],
        reason=entry["reason"],
        note=entry["note"],
    )


def _relabelled(run: RunRecord, entry: dict[str, Any], number: int) -> RunRecord:
    change = LabelChange(number, entry["time_ns"], entry["labels"])
    return replace(run, label_changes=(*run.label_changes, change))


def _with_container(run: RunRecord, entry: dict[str, Any]) -> RunRecord:
    end = ContainerEnd(entry["exit_code"], entry["reason"], entry["start_ns"], entry["time_ns"])
    return replace(run, containers=run.containers | {entry["container"]: end})


def runs_by_job(runs: Iterable[RunRecord]) -> list[RunRecord]:
    """The runs in the order of their starts, with one record for each attempt of a job that a pod carried out.

    A record that ends with a hand-over has no exit code: the process continued.
    """
    return sorted((part for run in runs for part in _parts(run)), key=lambda run: run.began)


def _parts(run: RunRecord) -> Iterator[RunRecord]:
    part = replace(run, label_changes=())
    for change in run.label_changes:
        if any(change.labels.get(each) != part.labels.get(each) for each in (LABEL_JOB_UID, LABEL_ATTEMPT)):
            yield replace(
                part, ended=change.line, end_ns=change.time_ns, exit_code=None, reason="", note="", containers={}
            )
            part = replace(part, began=change.line, start_ns=change.time_ns, labels=change.labels)
    yield part


def overlapping_runs(runs: Iterable[RunRecord]) -> list[tuple[RunRecord, RunRecord]]:
    """All pairs of runs that ran at the same time. A run without an end still runs."""
    ordered = sorted(runs, key=lambda run: run.began)
    return [(a, b) for a, b in combinations(ordered, 2) if a.ended is None or b.began < a.ended]


class RunJournal:
    """The journal of this node, open for appending by one writer. Each line is on disk when its method returns."""

    def __init__(self, path: Path) -> None:
        _truncate_incomplete_line(path)
        self.runs = {run.pod_uid: run for run in read_journal(path)}
        """By pod uid."""
        self._lines = path.read_bytes().count(b"\n") if path.exists() else 0
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        _sync_folder(path.parent)

    def close(self) -> None:
        os.close(self._descriptor)

    def start(self, pod_uid: str, pod_name: str, pid: int, labels: dict[str, str]) -> None:
        """Write the start of a run, whose first process exists but does not execute its program yet."""
        entry = {"event": Event.START, "uid": pod_uid, "pod": pod_name, "pid": pid, "labels": labels}
        entry["time_ns"] = time.time_ns()
        self.runs[pod_uid] = _started(entry, self._append(entry))

    def relabel(self, pod_uid: str, labels: dict[str, str]) -> None:
        """Write the new labels of a running pod, before anything follows from them."""
        run = self.runs[pod_uid]
        entry: dict[str, Any] = {"event": Event.LABELS, "uid": pod_uid, "pod": run.pod_name, "labels": labels}
        entry["time_ns"] = time.time_ns()
        self.runs[pod_uid] = _relabelled(run, entry, self._append(entry))

    def container_end(self, pod_uid: str, name: str, end: ContainerEnd) -> None:
        """Write the end of one container of several."""
        run = self.runs[pod_uid]
        entry: dict[str, Any] = {"event": Event.CONTAINER_END, "uid": pod_uid, "pod": run.pod_name, "container": name}
        entry |= {"exit_code": end.exit_code, "reason": end.reason, "start_ns": end.start_ns, "time_ns": end.end_ns}
        self._append(entry)
        self.runs[pod_uid] = _with_container(run, entry)

    def end(self, pod_uid: str, exit_code: int, reason: str, note: str = "") -> RunRecord:
        """Write the end of a run, all of whose processes are gone."""
        run = self.runs[pod_uid]
        entry = {"event": Event.END, "uid": pod_uid, "pod": run.pod_name, "pid": run.pid, "exit_code": exit_code}
        entry |= {"reason": reason, "note": note, "time_ns": time.time_ns()}
        self.runs[pod_uid] = _ended(run, entry, self._append(entry))
        return self.runs[pod_uid]

    def _append(self, entry: dict[str, Any]) -> int:
        """Append a line and return its number. After an `OSError` (a full disk) the file is unchanged."""
        size = os.fstat(self._descriptor).st_size
        line = (json.dumps(entry) + "\n").encode()
        try:
            if os.write(self._descriptor, line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._descriptor)
        except OSError:
            os.ftruncate(self._descriptor, size)
            raise
        self._lines += 1
        return self._lines - 1


def _truncate_incomplete_line(path: Path) -> None:
    """Remove an incomplete last line: no action followed from it."""
    if path.exists():
        content = path.read_bytes()
        os.truncate(path, content.rfind(b"\n") + 1)


def _sync_folder(folder: Path) -> None:
    """Flush a directory, so that a new file in it survives a crash."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
