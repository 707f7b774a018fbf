"""Commands about jobs: jobs, job, logs, cancel, suspend, resume, retry, priority, rm, download."""

from argparse import Namespace
from collections.abc import Callable

from darkroom_client.cli.connection import connect, submitting
from darkroom_client.cli.displays import progress_line, status_line
from darkroom_client.cli.exit_codes import ExitCode
from darkroom_client.cli.following import follow_job
from darkroom_client.cli.terminal import Terminal
from darkroom_client.cli.words import age, moment
from darkroom_client.models import Job, Status
from darkroom_client.sync_client import Darkroom

SHORT_KINDS = {"TrainJob": "train", "GenerateJob": "generate"}


def list_jobs(options: Namespace, terminal: Terminal) -> int:
    with connect(options) as darkroom:
        page = darkroom.job_page(
            kind=options.kind,
            status=options.status,
            model_id=options.model,
            submitted_by=options.by,
            query=options.query,
            limit=options.limit,
            cursor=options.cursor,
        )
    terminal.document(page)
    if not page.jobs and not terminal.as_json:
        terminal.note("No jobs.")
        return ExitCode.DONE
    terminal.table(("ID", "KIND", "STATUS", "PROGRESS", "MODEL", "AGE", "PROMPT"), [_row(job) for job in page.jobs])
    if page.next_cursor is not None and not terminal.as_json:
        total = "" if page.total is None else f" of {page.total}"
        terminal.note(f"The newest {len(page.jobs)}{total}. More with --limit.")
    return ExitCode.DONE


def _row(job: Job) -> tuple[str, ...]:
    progress = ""
    if job.status is Status.QUEUED and job.queue is not None and job.queue.position is not None:
        progress = f"position {job.queue.position}"
    elif job.progress is not None and not job.is_finished:
        progress = f"{job.progress.progress_percentage:.0f}%"
    status = "Deleting" if job.deleting else str(job.status)
    return job.id, SHORT_KINDS[job.kind], status, progress, job.model_id or "", age(job.created), job.prompt


def show_job(options: Namespace, terminal: Terminal) -> int:
    with connect(options) as darkroom:
        job = darkroom.job(options.id)
        if options.follow:
            return follow_job(darkroom, job, terminal)
    terminal.document(job)
    for name, value in _details(job):
        if value:
            terminal.result(f"{name + ':':<14}{value}")
    return ExitCode.DONE


def _details(job: Job) -> list[tuple[str, str]]:
    error, progress = job.error, job.progress
    return [
        ("Job", job.id),
        ("Kind", str(job.kind)),
        ("Status", status_line(job)),
        ("Progress", f"{progress.progress_percentage:.0f}% {progress_line(progress)}" if progress else ""),
        ("Error", f"{error.reason}: {error.message}" if error else ""),
        ("Advice", error.advice or "" if error else ""),
        ("Model", job.model_id or ""),
        ("Prompt", job.prompt),
        ("Priority", str(job.priority) if job.priority else ""),
        ("Submitted by", job.submitted_by or ""),
        ("Created", moment(job.created)),
        ("Started", moment(job.started)),
        ("Completed", moment(job.completed)),
        *(("Remark", f"{each.reason}: {each.message}") for each in job.remarks),
        *(("File", each.name) for each in job.artifacts),
    ]


def show_logs(options: Namespace, terminal: Terminal) -> int:
    with connect(options) as darkroom:
        lines = darkroom.logs(options.id, follow=options.follow, attempt=options.attempt)
        for line in lines:
            if terminal.as_json:
                terminal.record(line=line)
            else:
                terminal.raw(line)
    return ExitCode.DONE


def cancel(options: Namespace, terminal: Terminal) -> int:
    return _for_each(options, terminal, lambda darkroom, job_id: darkroom.cancel(job_id))


def suspend(options: Namespace, terminal: Terminal) -> int:
    return _for_each(options, terminal, lambda darkroom, job_id: darkroom.suspend(job_id))


def resume(options: Namespace, terminal: Terminal) -> int:
    return _for_each(options, terminal, lambda darkroom, job_id: darkroom.resume(job_id))


def retry(options: Namespace, terminal: Terminal) -> int:
    with submitting(terminal):
        return _for_each(options, terminal, lambda darkroom, job_id: darkroom.retry(job_id))


def _for_each(options: Namespace, terminal: Terminal, act: Callable[[Darkroom, str], Job | None]) -> int:
    """In the order given. The first failure ends it."""
    with connect(options) as darkroom:
        for job_id in options.ids:
            job = act(darkroom, job_id)
            terminal.result(job_id if job is None else job.id)
            terminal.record(**({"deleted": job_id} if job is None else {"job": job}))
    return ExitCode.DONE


def set_priority(options: Namespace, terminal: Terminal) -> int:
    with connect(options) as darkroom:
        job = darkroom.change(options.id, priority=options.priority)
    terminal.result(job.id)
    terminal.document(job)
    return ExitCode.DONE


def remove(options: Namespace, terminal: Terminal) -> int:
    with connect(options) as darkroom:
        for job_id in options.ids:
            darkroom.delete(job_id, files=options.files)
            terminal.result(job_id)
            terminal.record(deleted=job_id)
    return ExitCode.DONE


def download(options: Namespace, terminal: Terminal) -> int:
    with connect(options) as darkroom:
        job = darkroom.job(options.id)
        if not job.artifacts:
            terminal.note(f"{job.id} has no files yet: it is {job.status}.")
        elif not job.is_finished:
            terminal.note(f"{job.id} is {job.status}: these are the pictures that it has finished so far.")
        for each in job.artifacts:
            path = darkroom.download_file(each, options.output, job=job)
            terminal.result(str(path))
            terminal.record(event="saved", name=each.name, path=str(path))
    return ExitCode.DONE
