"""Images of a generation that are in storage before its job has succeeded. Pure.

A run reports them through Redis, and the operator copies them to the status: seed, size and digest, but no key. The key
is derived here from the job and the seed, and only for seeds of the job. So a forged report never leads to another
object; at worst it names an image of the job that is not there yet, or claims a wrong size or digest for it.
"""

from darkroom_contract.jobs import Job
from darkroom_contract.outcome import Artifact
from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_contract.status import Phase
from darkroom_contract.storage.keys import image_file, run_prefix


def image_names(job: Job) -> dict[int, str]:
    """The file names of all images that the job makes, by seed; none for a training."""
    if not isinstance(job.spec, GenerateJobSpec):
        return {}
    images = job.spec.images
    seeds = range(images.seed, images.seed + images.count)
    return {seed: image_file(job.name, seed, images.format.suffix) for seed in seeds}


def finished_images(job: Job) -> list[Artifact]:
    """The images that the current run has stored, in the order of their seeds; none once the job has succeeded."""
    progress = job.status.progress
    if job.status.phase is Phase.SUCCEEDED or progress is None or not isinstance(job.spec, GenerateJobSpec):
        return []
    prefix, content_type = run_prefix(job.uid), job.spec.images.format.content_type
    reported = {each.seed: each for each in progress.finished_images or ()}
    return [
        Artifact(key=prefix + name, content_type=content_type, bytes=reported[seed].bytes, sha256=reported[seed].sha256)
        for seed, name in image_names(job).items()
        if seed in reported
    ]
