"""One run, top to bottom. Called by `main`; it knows the order of things, and what each kind does is in its job.

A run that was finished before (its manifest exists) is only reported: a pod that is made twice does no harm.
"""

import logging
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from darkroom_contract.outcome import Outcome, OutcomeFile
from darkroom_contract.plan import Plan, plan_generation, plan_training
from darkroom_contract.progress import Stage
from darkroom_contract.runs import RunDocument
from darkroom_contract.specs import GenerateJobSpec, TrainJobSpec
from darkroom_contract.storage import Manifest, manifest_key, run_prefix
from darkroom_runner.collection import paused_collection
from darkroom_runner.errors import InvalidRunError, first_line, translate
from darkroom_runner.generate_job import GenerateJob
from darkroom_runner.interruption import Interruption
from darkroom_runner.jobs import Job, Product, Workbench
from darkroom_runner.metadata import versions
from darkroom_runner.progress import open_progress
from darkroom_runner.quiet import quiet_libraries
from darkroom_runner.settings import Settings
from darkroom_runner.storage import Storage
from darkroom_runner.train_job import TrainJob

log = logging.getLogger(__name__)

_NOTHING_TO_DO = "The run document holds neither train nor generate."

CONTENT_TYPES = {
    ".png": "image/png",
    ".mp4": "video/mp4",
    ".safetensors": "application/octet-stream",
}


def run(settings: Settings, interruption: Interruption) -> Outcome:
    """Read the document, do the job, upload what it made, and leave the manifest last.

    Raises `RunError`; before the job has begun also what a library raised.
    """
    begun = time.monotonic()
    document = read_document(settings.run)
    log.info(
        "run %d of %s %s/%s (%s)", document.attempt, document.kind, document.namespace, document.name, document.uid
    )
    storage = Storage(settings)
    finished = find_manifest(storage, document.uid)
    if finished is not None:
        log.info("this job was finished by run %d: nothing to do", finished.attempt)
        return finished.outcome
    with open_workbench(document, settings, storage, interruption) as bench:
        job = job_of(bench)
        with _failures_described(job, bench):
            product = perform(job, bench)
            files = upload(product, bench)
            job.publish(files)
            outcome = describe(product, files, bench, time.monotonic() - begun)
            write_manifest(storage, document, outcome, product)
            job.tidy()
            bench.progress.enter(Stage.DONE)
    return outcome


@contextmanager
def _failures_described(job: Job[Any, Any], bench: Workbench) -> Iterator[None]:
    """Whatever goes wrong leaves as a `RunError` that knows how far the run came and what it had remarked."""
    try:
        yield
    except Exception as error:
        failure = translate(error)
        failure.saved_step, failure.remarks = job.saved_step, bench.remarks.found
        if failure is error:
            raise
        raise failure from error


def read_document(text: str) -> RunDocument:
    try:
        return RunDocument.from_json(text)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise InvalidRunError(f"The run document can't be used: {faults}") from error
    except ValueError as error:
        raise InvalidRunError(f"The run document can't be used: {first_line(error)}") from error


def find_manifest(storage: Storage, uid: str) -> Manifest | None:
    content = storage.read(manifest_key(uid))
    return None if content is None else Manifest.model_validate_json(content)


@contextmanager
def open_workbench(
    document: RunDocument, settings: Settings, storage: Storage, interruption: Interruption
) -> Iterator[Workbench]:
    """A scratch folder and the progress of one run, both closed whatever happens."""
    plan = plan_run(document)
    with (
        tempfile.TemporaryDirectory(prefix="run-", dir=settings.scratch_dir) as scratch,
        open_progress(document, plan, settings.redis_url) as progress,
    ):
        yield Workbench(document, settings, storage, progress, interruption, Path(scratch))


def plan_run(document: RunDocument) -> Plan:
    match document:
        case RunDocument(train=TrainJobSpec() as spec):
            return plan_training(spec)
        case RunDocument(generate=GenerateJobSpec() as spec):
            return plan_generation(spec)
    raise InvalidRunError(_NOTHING_TO_DO)


def job_of(bench: Workbench) -> Job[Any, Any]:
    match bench.document:
        case RunDocument(train=TrainJobSpec() as spec):
            return TrainJob(bench, spec)
        case RunDocument(generate=GenerateJobSpec() as spec):
            return GenerateJob(bench, spec)
    raise InvalidRunError(_NOTHING_TO_DO)


def perform(job: Job[Any, Any], bench: Workbench) -> Product:
    """Download, load, work; between two of them the run may be interrupted."""
    bench.progress.enter(Stage.DOWNLOADING)
    inputs = job.download()
    bench.interruption.check()
    bench.progress.enter(Stage.LOADING_MODEL)
    with paused_collection():
        quiet_libraries()
        models = job.load(inputs)
    bench.interruption.check()
    return job.work(inputs, models)


def upload(product: Product, bench: Workbench) -> tuple[OutcomeFile, ...]:
    """Upload every file under the run's prefix."""
    bench.progress.enter(Stage.UPLOADING, len(product.files))
    uploaded = []
    for number, path in enumerate(product.files, start=1):
        content_type = CONTENT_TYPES[path.suffix]
        digest = bench.storage.upload(run_prefix(bench.document.uid) + path.name, path, content_type)
        uploaded.append(
            OutcomeFile(name=path.name, content_type=content_type, bytes=path.stat().st_size, sha256=digest)
        )
        bench.progress.step(number, len(product.files))
    return tuple(uploaded)


def describe(product: Product, files: tuple[OutcomeFile, ...], bench: Workbench, seconds: float) -> Outcome:
    return Outcome(
        succeeded=True,
        remarks=bench.remarks.found,
        prefix=run_prefix(bench.document.uid),
        files=files,
        metrics={**product.metrics, "seconds": round(seconds, 3)},
    )


def write_manifest(storage: Storage, document: RunDocument, outcome: Outcome, product: Product) -> None:
    """Last of all: where it exists, everything else is whole."""
    manifest = Manifest(
        outcome=outcome,
        attempt=document.attempt,
        versions=versions(),
        base_models=product.base_models,
        created=datetime.now(UTC),
    )
    body = manifest.model_dump_json(by_alias=True, exclude_none=True).encode()
    storage.write(manifest_key(document.uid), body, "application/json")
