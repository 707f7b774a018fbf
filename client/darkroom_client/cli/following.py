"""Follows a job until it has ended, and asks at Ctrl-C whether to cancel it."""

import sys
from collections.abc import Mapping
from enum import Enum, auto
from typing import Any

from darkroom_client.cli.displays import Display, display_for, ending
from darkroom_client.cli.exit_codes import ExitCode
from darkroom_client.cli.saving import Saver
from darkroom_client.cli.terminal import Terminal
from darkroom_client.cli.wording import wording_for
from darkroom_client.cli.words import duration
from darkroom_client.errors import ConflictError, DarkroomError, NotFoundError
from darkroom_client.job_events import (
    OUTAGE_SECONDS,
    Disconnected,
    Event,
    JobChanged,
    JobDeleted,
    ProgressReported,
    Warned,
)
from darkroom_client.models import Job, Progress, Status
from darkroom_client.sync_client import Darkroom

RECONNECTING = f"Trying again for up to {duration(OUTAGE_SECONDS)}; the job continues meanwhile."


class Choice(Enum):
    """What to do after Ctrl-C."""

    CANCEL = auto()
    CONTINUE = auto()
    LEAVE = auto()


def follow_job(darkroom: Darkroom, job: Job, terminal: Terminal, saver: Saver | None = None) -> int:
    """Returns the exit code. The files are saved by `saver`, as soon as they can be read."""
    if terminal.is_interactive:
        terminal.note(f"Following {job.id}. Ctrl-C asks whether to cancel it.")
    follower = _Follower(darkroom, job, terminal, saver)
    while True:
        try:
            return follower.run()
        except KeyboardInterrupt:
            if follower.job.is_finished:
                terminal.note(f"{job.id} has ended. Save the rest with: {terminal.command('download', job.id)}")
                return ExitCode.INTERRUPTED
            choice = _ask(job, terminal)
        if choice is Choice.CANCEL:
            return _cancel(darkroom, job, terminal)
        if choice is Choice.LEAVE:
            terminal.note(f"{job.id} continues. Follow it with: {terminal.command('job', '-f', job.id)}")
            return ExitCode.INTERRUPTED


def trained(spec: Mapping[str, Any], terminal: Terminal) -> str:
    """What a training of this spec has made, and the command that draws with it."""
    base = spec.get("baseModel")
    words = ("generate", spec["prompt"], "--model", spec["modelId"], *(("--base-model", base) if base else ()))
    return f"Trained {spec['modelId']}. Draw with it: {terminal.command(*words)}"


class _Follower:
    def __init__(self, darkroom: Darkroom, job: Job, terminal: Terminal, saver: Saver | None) -> None:
        self._darkroom = darkroom
        self.job = job
        """As it was last seen."""
        self._terminal = terminal
        self._saver = saver
        self._wording = wording_for(job.kind)
        self._is_disconnected = False
        self._newest: Progress | None = None

    def run(self) -> int:
        """May be called again, after Ctrl-C: the display then continues where it was."""
        with display_for(self._terminal, self.job) as display:
            if self._newest is not None:
                display.progress(self._newest)
            for event in self._darkroom.follow(self.job.id, kind=self.job.kind):
                self._handle(event, display)
                if isinstance(event, JobDeleted):
                    self._terminal.note(f"{self.job.id} was deleted before its end.")
                    return ExitCode.JOB_FAILED
            for remark in self.job.remarks:
                display.message(f"{remark.reason}: {self._wording.text(remark.message)}")
            self.job.require_success()
            if self._saver is not None:
                self._saver.save_artifacts(self.job)
        self._say_how_it_ended()
        return ExitCode.DONE

    def _say_how_it_ended(self) -> None:
        """The last line of a job, after those of its files."""
        if self._terminal.as_json:
            return
        files = f" {self._saver.in_words()}" if self._saver is not None else ""
        self._terminal.note(f"{self.job.id}: {ending(self.job)}.{files}")

    def _handle(self, event: Event, display: Display) -> None:
        if self._is_disconnected and isinstance(event, JobChanged | ProgressReported):
            display.message("Connected again.")
        self._is_disconnected = isinstance(event, Disconnected) or (self._is_disconnected and isinstance(event, Warned))
        if isinstance(event, JobChanged):
            self._change(event.job, display)
        elif isinstance(event, ProgressReported):
            # Previews are pictures for pages; a line of a script's input should not have 32 kB.
            self._terminal.record(event="progress", id=self.job.id, progress=event.progress, files=event.files)
            self._show(event.progress, display)
            if self._saver is not None:
                self._saver.save_announced(event.files)
        elif isinstance(event, Warned | Disconnected):
            self._terminal.record(event="warning", detail=event.detail)
            display.message(f"{event.detail} {RECONNECTING}" if isinstance(event, Disconnected) else event.detail)
        elif isinstance(event, JobDeleted):
            self._terminal.record(event="deleted", id=event.job_id)

    def _change(self, job: Job, display: Display) -> None:
        if job.attempts > self.job.attempts:
            self._newest = None  # A new run begins again, by the clock of its own node.
        self.job = job
        self._terminal.record(event="job", job=job)
        if job.is_finished:
            return
        display.status(job)
        if job.progress is not None and job.status is Status.RUNNING:
            self._show(job.progress, display)
        if self._saver is not None:
            self._saver.save_finished(job)

    def _show(self, progress: Progress, display: Display) -> None:
        """The stream begins with the events of the past, and the job's own progress is a little behind the stream: what
        is older than what was shown would make the bar jump back."""
        before = self._newest.updated if self._newest is not None else None
        if before is None or progress.updated is None or progress.updated >= before:
            self._newest = progress
            display.progress(progress)


def _ask(job: Job, terminal: Terminal) -> Choice:
    """A second Ctrl-C, or the end of the input, leaves the job running; so does the first if nobody can be asked."""
    if not terminal.is_interactive:
        return Choice.LEAVE
    try:
        print(f"\nCancel {job.id}? [y/N] (Ctrl-C leaves it running) ", end="", file=sys.stderr, flush=True)
        answer = input().strip().lower()
    except (KeyboardInterrupt, EOFError):
        print(file=sys.stderr)
        return Choice.LEAVE
    return Choice.CANCEL if answer in ("y", "yes") else Choice.CONTINUE


def _cancel(darkroom: Darkroom, job: Job, terminal: Terminal) -> int:
    try:
        darkroom.cancel(job.id, kind=job.kind)
    except (ConflictError, NotFoundError) as error:
        terminal.note(str(error))
    except (DarkroomError, KeyboardInterrupt):
        terminal.note(f"{job.id} is not cancelled. Try again with: {terminal.command('cancel', job.id)}")
        raise
    else:
        terminal.note(f"{job.id} is cancelled.")
    return ExitCode.INTERRUPTED
