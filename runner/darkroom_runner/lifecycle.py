"""One run from start to end: download, load, execute, upload, manifest. Called by `worker` and `warm_runs`.

The steps are the same for every task; the tasks themselves are in `tasks`. A job that already has a manifest is only
reported again, so that a duplicate pod does no harm.
"""

import logging
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from darkroom_contract.outcome import Outcome, OutcomeFile
from darkroom_contract.plan import Plan, plan_generation, plan_training
from darkroom_contract.progress import Stage
from darkroom_contract.runs import RunDocument
from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_contract.storage.keys import Manifest, manifest_key, run_prefix
from darkroom_contract.tracing.tracing import Tracing, open_tracing
from darkroom_runner.errors import InvalidRunError, first_line, translate
from darkroom_runner.models.kept_pipelines import KeptPipelines
from darkroom_runner.run.content_credentials import load_credentials
from darkroom_runner.run.context import RunContext, RunResult
from darkroom_runner.run.gc_control import paused_gc
from darkroom_runner.run.library_imports import imports_in_background
from darkroom_runner.run.library_logging import configure_library_logging
from darkroom_runner.run.process_state import ProcessState, temporary_files_in
from darkroom_runner.run.progress import open_progress
from darkroom_runner.run.start_clock import StartClock, StartPart
from darkroom_runner.run.stop_signal import StopSignal
from darkroom_runner.run.storage import Storage
from darkroom_runner.settings import Settings
from darkroom_runner.tasks.output_metadata import package_versions

if TYPE_CHECKING:
    from darkroom_runner.tasks.task import Task

log = logging.getLogger(__name__)

_NO_TASK = "The run document has neither train nor generate."


@dataclass(frozen=True)
class Services:
    """What all runs of the process share."""

    settings: Settings
    stop_signal: StopSignal
    pipelines: KeptPipelines = field(default_factory=KeptPipelines)
    process_state: ProcessState = field(default_factory=ProcessState)
    tracing: Tracing = field(default_factory=Tracing)

    @cached_property
    def storage(self) -> Storage:
        return Storage(self.settings)


def open_services(environment: Mapping[str, str], stop_signal: StopSignal) -> Services:
    """Raises `InvalidRunError` for a setting that can't be used."""
    settings = Settings.from_environment(environment)
    tracing = open_tracing("darkroom-runner", environment)
    return Services(settings, stop_signal, KeptPipelines(keeping=settings.stays_warm), tracing=tracing)


def run(text: str, services: Services, start: StartClock | None = None) -> Outcome:
    """Read the run document, execute its task, upload the result, and write the manifest last.

    `start` is the clock of a start that began before this call.
    Raises `RunError`; before the task has started also any error of a library.
    """
    started = time.monotonic()
    document = read_document(text)
    log.info(
        "run %d of %s %s/%s (%s)", document.attempt, document.kind, document.namespace, document.name, document.uid
    )
    finished = find_manifest(services.storage, document.uid)
    if finished is not None:
        log.info("this job was already finished by run %d: nothing to do", finished.attempt)
        return finished.outcome
    with _traced(document, services.tracing), open_run_context(document, services, start) as context:
        task = task_for(context, services.pipelines)
        with _failures_described(task, context):
            result = execute(task, context)
            with context.tracing.span("upload", {"darkroom.run.files": len(result.files)}):
                files = upload(result, context)
                task.publish(files)
                outcome = build_outcome(result, files, context, time.monotonic() - started)
                write_manifest(context.storage, document, outcome, result)
            task.clean_up()
            context.progress.enter(Stage.DONE)
    return outcome


def _traced(document: RunDocument, tracing: Tracing) -> AbstractContextManager[None]:
    """The span of the run, in the trace of its job; it begins a trace of its own for a job without one."""
    attributes = {
        "darkroom.job.kind": document.kind.value,
        "darkroom.job.name": document.name,
        "darkroom.job.uid": document.uid,
        "darkroom.job.attempt": document.attempt,
    }
    return tracing.span("run", attributes, document.traceparent)


@contextmanager
def _failures_described(task: "Task[Any, Any]", context: RunContext) -> Iterator[None]:
    """Turn every exception into a `RunError` with the newest checkpoint's step and the remarks so far."""
    try:
        yield
    except Exception as error:
        failure = translate(error)
        failure.saved_step, failure.remarks = task.saved_step, context.remarks.collected
        if failure is error:
            raise
        raise failure from error


def read_document(text: str) -> RunDocument:
    """Parse the run document. Raises `InvalidRunError`."""
    try:
        return RunDocument.from_json(text)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise InvalidRunError(f"The run document is invalid: {faults}") from error
    except ValueError as error:
        raise InvalidRunError(f"The run document is invalid: {first_line(error)}") from error


def find_manifest(storage: Storage, uid: str) -> Manifest | None:
    content = storage.read(manifest_key(uid))
    return None if content is None else Manifest.model_validate_json(content)


@contextmanager
def open_run_context(
    document: RunDocument, services: Services, start: StartClock | None = None
) -> Iterator[RunContext]:
    """A context with a temporary folder and a progress tracker; both are closed when it ends."""
    plan, settings = plan_run(document), services.settings
    credentials = load_credentials(settings, package_versions().get("darkroom", ""))
    with (
        tempfile.TemporaryDirectory(prefix="run-", dir=settings.scratch_dir) as scratch,
        temporary_files_in(Path(scratch)) if settings.stays_warm else nullcontext(),
        open_progress(document, plan, settings.redis_url, start) as progress,
    ):
        yield RunContext(
            document,
            settings,
            services.storage,
            progress,
            services.stop_signal,
            Path(scratch),
            credentials=credentials,
            tracing=services.tracing,
        )


def plan_run(document: RunDocument) -> Plan:
    """The planned work of each stage. Raises `InvalidRunError` for a document without a task."""
    match document:
        case RunDocument(train=TrainJobSpec() as spec):
            return plan_training(spec)
        case RunDocument(generate=GenerateJobSpec() as spec):
            return plan_generation(spec)
    raise InvalidRunError(_NO_TASK)


def task_for(context: RunContext, pipelines: KeptPipelines) -> "Task[Any, Any]":
    """The task that the run document asks for. The modules of the other kind are not imported."""
    match context.document:
        case RunDocument(train=TrainJobSpec() as spec):
            from darkroom_runner.tasks.train import TrainTask

            return TrainTask(context, spec, pipelines)
        case RunDocument(generate=GenerateJobSpec() as spec):
            from darkroom_runner.tasks.generate import GenerateTask

            return GenerateTask(context, spec, pipelines)
    raise InvalidRunError(_NO_TASK)


def execute(task: "Task[Any, Any]", context: RunContext) -> RunResult:
    """Download, load, execute; a stop signal is obeyed between them. Libraries are imported during the download."""
    progress = context.progress
    with paused_gc(), imports_in_background(configure_library_logging, task.libraries) as libraries:
        if progress.plans(Stage.DOWNLOADING):
            progress.enter(Stage.DOWNLOADING)
        with context.tracing.span("download"):
            inputs = task.download()
        context.stop_signal.check()
        progress.start.end(StartPart.INPUT)
        progress.enter(Stage.LOADING_MODEL)
        with context.tracing.span("load"):
            libraries.wait()
            progress.start.end(StartPart.IMPORTS)
            models = task.load(inputs)
    context.stop_signal.check()
    with context.tracing.span("work"):
        return task.execute(inputs, models)


def upload(result: RunResult, context: RunContext) -> tuple[OutcomeFile, ...]:
    """Store all files of the result; those that the task has stored already are in storage."""
    context.progress.enter(Stage.UPLOADING, len(result.files))
    uploaded = []
    for number, path in enumerate(result.files, start=1):
        uploaded.append(context.results.store(path))
        context.progress.step(number)
    return tuple(uploaded)


def build_outcome(result: RunResult, files: tuple[OutcomeFile, ...], context: RunContext, seconds: float) -> Outcome:
    return Outcome(
        succeeded=True,
        remarks=context.remarks.collected,
        prefix=run_prefix(context.document.uid),
        files=files,
        metrics={**result.metrics, "seconds": round(seconds, 3)},
        job_uid=context.document.uid,
        attempt=context.document.attempt,
    )


def write_manifest(storage: Storage, document: RunDocument, outcome: Outcome, result: RunResult) -> None:
    """Written last: if it exists, all other files of the run are complete."""
    manifest = Manifest(
        outcome=outcome,
        attempt=document.attempt,
        namespace=document.namespace,
        versions=package_versions(),
        base_models=result.base_models,
        saved_steps=result.saved_steps,
        samples=result.samples,
        created=datetime.now(UTC),
    )
    body = manifest.model_dump_json(by_alias=True, exclude_none=True).encode()
    storage.write(manifest_key(document.uid), body, "application/json")
