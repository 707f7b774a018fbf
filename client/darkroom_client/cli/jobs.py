"""Commands about jobs: jobs, job, logs, cancel, suspend, resume, retry, priority, rm, download."""

from argparse import Namespace
from collections.abc import Callable

from darkroom_client.cli.connection import connect, submitting
from darkroom_client.cli.displays import progress_line, status_line, time_left
from darkroom_client.cli.exit_codes import ExitCode
from darkroom_client.cli.following import follow_job, trained
from darkroom_client.cli.terminal import Terminal
from darkroom_client.cli.wording import wording_for
from darkroom_client.cli.words import age, moment, place
from darkroom_client.models import Job, Kind, Status
from darkroom_client.sync_client import Darkroom

SHORT_KINDS = {"TrainJob": "train", "GenerateJob": "generate"}


def list_jobs(options: Namespace, terminal: Terminal) -> int:
    with connect(options, terminal) as darkroom:
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
        terminal.note(_no_jobs(options))
        return ExitCode.DONE
    terminal.table(("ID", "KIND", "STATUS", "PROGRESS", "MODEL", "AGE", "PROMPT"), [_row(job) for job in page.jobs])
    if page.next_cursor is not None and not terminal.as_json:
        total = "" if page.total is None else f" of {page.total}"
        terminal.note(f"The newest {len(page.jobs)}{total}. More with --limit.")
    return ExitCode.DONE


def _no_jobs(options: Namespace) -> str:
    filters = (options.kind, options.status, options.model, options.by, options.query)
    return "No jobs match." if any(filters) else "No jobs."


def _row(job: Job) -> tuple[str, ...]:
    progress = ""
    if job.status is Status.QUEUED and job.queue is not None and job.queue.position is not None:
        progress = place(job.queue.position)
    elif job.progress is not None and not job.is_finished:
        progress = f"{job.progress.progress_percentage:.0f}%"
    status = "Deleting" if job.deleting else str(job.status)
    return job.id, SHORT_KINDS[job.kind], status, progress, job.model_id or "", age(job.created), job.prompt


def show_job(options: Namespace, terminal: Terminal) -> int:
    with connect(options, terminal) as darkroom:
        job = darkroom.job(options.id)
        if options.follow:
            code = follow_job(darkroom, job, terminal)
            if code == ExitCode.DONE and not terminal.as_json:
                terminal.note(_next_command(job, terminal))
            return code
    terminal.document(job)
    for name, value in _details(job):
        if value:
            terminal.result(f"{name + ':':<14}{value}")
    return ExitCode.DONE


def _next_command(job: Job, terminal: Terminal) -> str:
    if job.kind is Kind.TRAIN and job.model_id is not None:
        return trained({**job.spec, "modelId": job.model_id, "prompt": job.prompt}, terminal)
    return f"Save its files with: {terminal.command('download', job.id)}"


def progress_in_words(job: Job) -> str:
    """Of a job that has failed: how far it came. A successful one needs none."""
    if job.progress is None or job.succeeded:
        return ""
    left = "" if job.is_finished else time_left(job.progress)
    words = filter(None, (progress_line(job.progress, job.kind), left))
    return f"{job.progress.progress_percentage:.0f}% {', '.join(words)}"


def _details(job: Job) -> list[tuple[str, str]]:
    error, wording = job.error, wording_for(job.kind)
    return [
        ("Job", job.id),
        ("Kind", str(job.kind)),
        ("Status", status_line(job)),
        ("Progress", progress_in_words(job)),
        ("Error", f"{error.reason}: {wording.text(error.message)}" if error else ""),
        ("Advice", wording.text(error.advice or "") if error else ""),
        ("Model", job.model_id or ""),
        ("Prompt", job.prompt),
        ("Priority", str(job.priority) if job.priority else ""),
        ("Submitted by", job.submitted_by or ""),
        ("Created", moment(job.created)),
        ("Started", moment(job.started)),
        ("Completed", moment(job.completed)),
        *(("Remark", f"{each.reason}: {wording.text(each.message)}") for each in job.remarks),
        *(("File", each.name) for each in job.artifacts),
    ]


def show_logs(options: Namespace, terminal: Terminal) -> int:
    with connect(options, terminal) as darkroom:
        lines = darkroom.logs(options.id, follow=options.follow, attempt=options.attempt)
        for line in lines:
            if terminal.as_json:
                terminal.record(line=line)
            else:
                terminal.raw(line)
    return ExitCode.DONE


def cancel(options: Namespace, terminal: Terminal) -> int:
    return _for_each(options, terminal, Darkroom.cancel, lambda job_id, _: f"Cancelled {job_id}.")


def suspend(options: Namespace, terminal: Terminal) -> int:
    def sentence(job_id: str, _: str) -> str:
        return f"Suspended {job_id}. Let it continue with: {terminal.command('resume', job_id)}"

    return _for_each(options, terminal, Darkroom.suspend, sentence)


def resume(options: Namespace, terminal: Terminal) -> int:
    return _for_each(options, terminal, Darkroom.resume, lambda job_id, _: f"{job_id} is no longer suspended.")


def retry(options: Namespace, terminal: Terminal) -> int:
    def sentence(job_id: str, new_id: str) -> str:
        return f"Submitted {job_id} again, as {new_id}. Follow it with: {terminal.command('job', '-f', new_id)}"

    with submitting(terminal):
        return _for_each(options, terminal, Darkroom.retry, sentence)


def _for_each(
    options: Namespace,
    terminal: Terminal,
    act: Callable[[Darkroom, str], Job | None],
    sentence: Callable[[str, str], str],
) -> int:
    """In the order given. The first failure ends it. `sentence` gets the given id and that of the answer."""
    with connect(options, terminal) as darkroom:
        for job_id in options.ids:
            job = act(darkroom, job_id)
            found = job_id if job is None else job.id
            terminal.done(found, sentence(job_id, found))
            terminal.record(**({"deleted": job_id} if job is None else {"job": job}))
    return ExitCode.DONE


def set_priority(options: Namespace, terminal: Terminal) -> int:
    with connect(options, terminal) as darkroom:
        job = darkroom.change(options.id, priority=options.priority)
    terminal.done(job.id, f"{job.id} has priority {job.priority} now.")
    terminal.document(job)
    return ExitCode.DONE


def remove(options: Namespace, terminal: Terminal) -> int:
    with connect(options, terminal) as darkroom:
        for job_id in options.ids:
            darkroom.delete(job_id, files=options.files)
            terminal.done(job_id, f"Deleted {job_id}{' with its files' if options.files else ''}.")
            terminal.record(deleted=job_id)
    return ExitCode.DONE


def download(options: Namespace, terminal: Terminal) -> int:
    with connect(options, terminal) as darkroom:
        job = darkroom.job(options.id)
        if not job.artifacts:
            terminal.note(f"{job.id} has no files{'' if job.is_finished else ' yet'}: it is {job.status}.")
        elif not job.is_finished:
            terminal.note(f"{job.id} is {job.status}: these are the pictures that it has finished so far.")
        for each in job.artifacts:
            path = darkroom.download_file(each, options.output, job=job)
            terminal.saved(str(path))
            terminal.record(event="saved", name=each.name, path=str(path))
    return ExitCode.DONE
