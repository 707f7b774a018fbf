"""`darkroom train` and `darkroom generate`."""

from argparse import Namespace
from pathlib import Path
from typing import Any

from darkroom_client.cli.connection import connect, submitting
from darkroom_client.cli.exit_codes import ExitCode
from darkroom_client.cli.following import follow_job, trained
from darkroom_client.cli.saving import Saver
from darkroom_client.cli.spec_check import check_generation, check_training
from darkroom_client.cli.terminal import Terminal
from darkroom_client.cli.upload_bar import upload_bar
from darkroom_client.cli.words import size_in_words
from darkroom_client.errors import InputError
from darkroom_client.models import Job
from darkroom_client.photo_files import PhotoFiles, check_readable, find_photos
from darkroom_client.submissions import merged


def train(options: Namespace, terminal: Terminal) -> int:
    spec = training_spec(options)
    _require(spec, options)
    photos = find_photos(options.photos) if options.photos else None
    if photos is not None:
        spec = _use_masks(spec, photos)
    check_training(spec, has_photos=photos is not None)
    with connect(options, terminal) as darkroom:
        saver = Saver(darkroom, options.output, terminal) if options.output is not None else None
        if photos is not None:
            _announce(photos, spec, terminal)
        with submitting(terminal), upload_bar(terminal, photos.bytes if photos else 0) as on_upload:
            files = [each.path for each in photos.files] if photos else ()
            job = darkroom.train(files, model_id=spec["modelId"], prompt=spec["prompt"], spec=spec, on_upload=on_upload)
        if not options.follow and options.output is None:
            return _submitted(job, terminal)
        code = follow_job(darkroom, job, terminal, saver)
    if code == ExitCode.DONE:
        if options.output is None:
            terminal.done(spec["modelId"], trained(spec, terminal))
        elif not terminal.as_json:  # stdout has the paths of files.
            terminal.note(trained(spec, terminal))
    return code


def _require(spec: dict[str, Any], options: Namespace) -> None:
    """What the gateway would ask for, before any photo is read."""
    missing = [option for name, option in (("modelId", "--model"), ("prompt", "--prompt")) if not spec.get(name)]
    if not options.photos and "dataset" not in spec:
        missing.insert(0, "PHOTOS")
    if missing:
        error = InputError(f"train needs {', '.join(missing)}.")
        error.advice = 'Such as: darkroom train ./photos --model my-dog --prompt "a photo of sks dog"'
        raise error
    if options.photos and "dataset" in spec:
        raise InputError("Both PHOTOS and a dataset are given. Leave out one of them.")


def _use_masks(spec: dict[str, Any], photos: PhotoFiles) -> dict[str, Any]:
    """Masks beside the photos are meant to be used; without this setting the gateway refuses them."""
    if not any(each.is_mask for each in photos.files):
        return spec
    return merged({"training": {"maskedLoss": {}}}, spec)


def _announce(photos: PhotoFiles, spec: dict[str, Any], terminal: Terminal) -> None:
    for path in photos.skipped:
        terminal.note(f"{path} is left out: it is no photo, caption or mask.")
    count = len(photos.photos)
    masks = ", with their masks" if any(each.is_mask for each in photos.files) else ""
    what = f"{count} photo{'s' if count > 1 else ''} ({size_in_words(photos.bytes)}){masks}"
    terminal.note(f"Sending {what} to learn {spec['modelId']}.")


def generate(options: Namespace, terminal: Terminal) -> int:
    spec = generation_spec(options)
    _require_pictures(spec, options)
    pictures = {"image": options.image, "mask": options.mask, "video_image": options.video_image}
    check_generation(spec, [name for name, path in pictures.items() if path is not None])
    with connect(options, terminal) as darkroom:
        saver = None if options.detach else Saver(darkroom, options.output, terminal)
        with submitting(terminal):
            job = darkroom.generate(options.prompt, **pictures, spec=spec)
        return _submitted(job, terminal) if saver is None else follow_job(darkroom, job, terminal, saver)


def _require_pictures(spec: dict[str, Any], options: Namespace) -> None:
    """Options that need another one, which --spec and --set may also have given."""
    start = spec.get("startImage")
    has_image = options.image is not None or (isinstance(start, dict) and "uri" in start)
    if not has_image and options.strength is not None:
        raise InputError("--strength needs --image, the picture that the prompt changes.")
    if not has_image and options.mask is not None:
        raise InputError("--mask needs --image, the picture that is painted on.")
    if options.video_image is not None and not spec.get("allowMotion"):
        raise InputError("--video-image needs --video: without a clip it has no effect.")


def training_spec(options: Namespace) -> dict[str, Any]:
    """Of --spec, the named options and --set; later ones win."""
    training = {
        "rank": options.rank,
        "learningRate": options.learning_rate,
        "resolution": options.resolution,
        "seed": options.seed,
        "validationPrompts": options.sample,
    }
    named = {
        "modelId": options.model,
        "prompt": options.prompt,
        "maxSteps": options.steps,
        "baseModel": options.base_model,
        "priority": options.priority,
        "dataset": {"uri": options.dataset} if options.dataset else None,
        "training": {name: value for name, value in training.items() if value is not None} or None,
    }
    return merged(read_spec(options.spec), named, *options.settings)


def generation_spec(options: Namespace) -> dict[str, Any]:
    width, height = options.size or (None, None)
    images = {
        "count": options.count,
        "width": width,
        "height": height,
        "steps": options.steps,
        "guidanceScale": options.guidance,
        "seed": options.seed,
        "scheduler": options.scheduler,
    }
    named = {
        "prompt": options.prompt,
        "negativePrompt": options.negative,
        "allowMotion": options.video,
        "baseModel": options.base_model,
        "priority": options.priority,
        "images": {name: value for name, value in images.items() if value is not None} or None,
        "startImage": {"strength": options.strength} if options.strength is not None else None,
        **_loras(options.model),
    }
    return merged(read_spec(options.spec), named, *options.settings)


def _loras(models: list[tuple[str, float | None]]) -> dict[str, Any]:
    """One model by the short form, which has no strength below 0; several as a list."""
    if len(models) > 1 or any(scale is not None and scale < 0 for _, scale in models):
        return {"loras": [{"modelId": name, "scale": 1.0 if scale is None else scale} for name, scale in models]}
    return {} if not models else {"modelId": models[0][0], "loraScale": models[0][1]}


def read_spec(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    import yaml

    check_readable(path, may_be_pipe=True)
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a text file in UTF-8. A spec is YAML or JSON.") from error
    except yaml.YAMLError as error:
        raise InputError(f"{path} is not valid YAML: {error}.") from error
    if not isinstance(document, dict):
        raise InputError(f"{path} has no spec. Write fields with values, such as: maxSteps: 300")
    # A whole resource, such as those in examples/.
    spec = document["spec"] if isinstance(document.get("spec"), dict) else document
    return dict(spec)


def _submitted(job: Job, terminal: Terminal) -> int:
    terminal.done(job.id, f"Submitted {job.id}. Follow it with: {terminal.command('job', '-f', job.id)}")
    terminal.document(job)
    return ExitCode.DONE
