"""The node's record of runs: one JSON line for each start and each end of a pod, in the order they happened.

Written by the workers; read by the node when it starts, and by tests and stories. A start is on disk before the
pod's first program is let go, and an end is written only after its last process was reaped, so that two runs overlap
if, and only if, the second one's start stands before the first one's end. In a pod of several containers each
container's end has a line too, so that a restarted node still knows it. Lines are compared by their order, never by
their times: `time_ns` is CLOCK_REALTIME, which goes on over restarts of the node and of the machine, but can be set.
"""

import errno
import json
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import combinations
from pathlib import Path
from typing import Any


class Event(StrEnum):
    START = "start"
    CONTAINER_END = "container end"
    END = "end"


LOST = "lost with the node"
"""The `note` of an end that a restarted node wrote in place of the one that ran the process."""
SHUT_DOWN = "stopped with the node"
"""The `note` of an end that came because the node was told to stop."""


@dataclass(frozen=True)
class ContainerEnd:
    """How one container ended, in the container runtime's words."""

    exit_code: int
    reason: str
    """Completed, Error or OOMKilled."""
    start_ns: int
    end_ns: int


@dataclass(frozen=True)
class RunRecord:
    """One run, from the line of its start to the line of its end."""

    pod_uid: str
    pod_name: str
    pid: int
    """Of its first process."""
    began: int
    """Number of the line, from 0."""
    start_ns: int
    ended: int | None = None
    """None: it has no end yet."""
    end_ns: int | None = None
    exit_code: int | None = None
    """Of its first main container."""
    reason: str = ""
    """The same container's: Completed, Error or OOMKilled."""
    note: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    """The pod's, which tell the job."""
    containers: dict[str, ContainerEnd] = field(default_factory=dict)
    """The ends of containers, in a pod that has several."""


def read_journal(path: Path) -> list[RunRecord]:
    """The runs of a record, in the order of their starts. A last line that a crash cut short is left out."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return pair_events(json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n"))


def pair_events(entries: Iterable[dict[str, Any]]) -> list[RunRecord]:
    """Pair starts with ends. Raises `ValueError` for an end without a start, or a pod that was started twice."""
    runs: dict[str, RunRecord] = {}
    for number, entry in enumerate(entries):
        uid = entry["uid"]
        match Event(entry["event"]):
            case Event.START if uid not in runs:
                runs[uid] = _begun(entry, number)
            case Event.CONTAINER_END if uid in runs and runs[uid].ended is None:
                runs[uid] = _with_container(runs[uid], entry)
            case Event.END if uid in runs and runs[uid].ended is None:
                runs[uid] = _over(runs[uid], entry, number)
            case event:
                raise ValueError(f"line {number + 1}: an unexpected {event} of pod {entry['pod']} ({uid})")
    return list(runs.values())


def _begun(entry: dict[str, Any], number: int) -> RunRecord:
    return RunRecord(
        pod_uid=entry["uid"],
        pod_name=entry["pod"],
        pid=entry["pid"],
        began=number,
        start_ns=entry["time_ns"],
        labels=entry["labels"],
    )


def _over(run: RunRecord, entry: dict[str, Any], number: int) -> RunRecord:
    return replace(
        run,
        ended=number,
        end_ns=entry["time_ns"],
        exit_code=entry["exit_code"],
        reason=entry["reason"],
        note=entry["note"],
    )


def _with_container(run: RunRecord, entry: dict[str, Any]) -> RunRecord:
    end = ContainerEnd(entry["exit_code"], entry["reason"], entry["start_ns"], entry["time_ns"])
    return replace(run, containers=run.containers | {entry["container"]: end})


def overlapping_runs(runs: Iterable[RunRecord]) -> list[tuple[RunRecord, RunRecord]]:
    """All pairs of runs that were running at the same moment. One without an end is running still."""
    ordered = sorted(runs, key=lambda run: run.began)
    return [(a, b) for a, b in combinations(ordered, 2) if a.ended is None or b.began < a.ended]


class RunJournal:
    """The record of this node, open for writing. There is one writer; every line is on disk when its method returns."""

    def __init__(self, path: Path) -> None:
        _drop_torn_line(path)
        self.runs = {run.pod_uid: run for run in read_journal(path)}
        """By the pod's uid."""
        self._lines = path.read_bytes().count(b"\n") if path.exists() else 0
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        _sync_folder(path.parent)

    def close(self) -> None:
        os.close(self._descriptor)

    def start(self, pod_uid: str, pod_name: str, pid: int, labels: dict[str, str]) -> None:
        """The process exists, and waits to be let go."""
        entry = {"event": Event.START, "uid": pod_uid, "pod": pod_name, "pid": pid, "labels": labels}
        entry["time_ns"] = time.time_ns()
        self.runs[pod_uid] = _begun(entry, self._append(entry))

    def container_end(self, pod_uid: str, name: str, end: ContainerEnd) -> None:
        """One container of several has ended."""
        run = self.runs[pod_uid]
        entry: dict[str, Any] = {"event": Event.CONTAINER_END, "uid": pod_uid, "pod": run.pod_name, "container": name}
        entry |= {"exit_code": end.exit_code, "reason": end.reason, "start_ns": end.start_ns, "time_ns": end.end_ns}
        self._append(entry)
        self.runs[pod_uid] = _with_container(run, entry)

    def end(self, pod_uid: str, exit_code: int, reason: str, note: str = "") -> RunRecord:
        """All processes of the pod are gone."""
        run = self.runs[pod_uid]
        entry = {"event": Event.END, "uid": pod_uid, "pod": run.pod_name, "pid": run.pid, "exit_code": exit_code}
        entry |= {"reason": reason, "note": note, "time_ns": time.time_ns()}
        self.runs[pod_uid] = _over(run, entry, self._append(entry))
        return self.runs[pod_uid]

    def _append(self, entry: dict[str, Any]) -> int:
        """The number of the new line. After an `OSError` (a full disk) the record is as it was."""
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


def _drop_torn_line(path: Path) -> None:
    """Cut off what a crash left of a last line: it was never acted upon."""
    if path.exists():
        content = path.read_bytes()
        os.truncate(path, content.rfind(b"\n") + 1)


def _sync_folder(folder: Path) -> None:
    """A new file is only safe once its folder is on disk too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
