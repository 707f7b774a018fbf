"""`darkroom models`: list, show, rm, import, download."""

from argparse import ArgumentTypeError, Namespace
from pathlib import Path

from darkroom_client.cli.connection import connect
from darkroom_client.cli.exit_codes import ExitCode
from darkroom_client.cli.names import model_name, suggested_name
from darkroom_client.cli.terminal import Terminal
from darkroom_client.cli.upload_bar import upload_bar
from darkroom_client.cli.words import age, moment
from darkroom_client.errors import InputError
from darkroom_client.photo_files import check_readable
from darkroom_contract.names import step_of_reference


def list_models(options: Namespace, terminal: Terminal) -> int:
    with connect(options, terminal) as darkroom:
        models = darkroom.models()
    terminal.document({"models": models})
    if not models and not terminal.as_json:
        train = terminal.command("train", "PHOTOS", "--model", "ID", "--prompt", "TEXT")
        terminal.note(f"No models. Train one with: {train}")
        return ExitCode.DONE
    rows = [(each.model_id, age(each.created), each.base_model or "", each.prompt) for each in models]
    terminal.table(("MODEL", "AGE", "BASE MODEL", "PROMPT"), rows)
    return ExitCode.DONE


def show_model(options: Namespace, terminal: Terminal) -> int:
    with connect(options, terminal) as darkroom:
        model = darkroom.model(options.id)
    terminal.document(model)
    details = (
        ("Model", options.id),
        ("Prompt", model.prompt),
        ("Base model", model.base_model or ""),
        ("Source", model.source or ""),
        ("Created", moment(model.created)),
        ("In training", "yes" if model.in_training else ""),
        *(("File", f"{each.name} ({each.form})") for each in model.files),
        *(("Saved step", each.reference) for each in model.steps),
    )
    for name, value in details:
        if value:
            terminal.result(f"{name + ':':<14}{value}")
    return ExitCode.DONE


def remove(options: Namespace, terminal: Terminal) -> int:
    with connect(options, terminal) as darkroom:
        for model_id in options.ids:
            darkroom.delete_model(model_id)
            terminal.done(model_id, f"Deleted the {_noun(model_id)} {model_id}.")
            terminal.record(deleted=model_id)
    return ExitCode.DONE


def _noun(reference: str) -> str:
    return "saved step" if step_of_reference(reference) else "model"


def import_model(options: Namespace, terminal: Terminal) -> int:
    is_uri = options.file.startswith("s3://")
    path = Path(options.file)
    if not options.file:
        raise InputError("The path is empty. Give a safetensors file, or an s3:// address.")
    if options.file.lower().startswith(("http://", "https://")):
        raise InputError("A LoRA is not read from a web address. Download it and give the path, or an s3:// address.")
    if not is_uri:
        check_readable(path)
    if not is_uri and path.suffix.lower() != ".safetensors":
        raise InputError(f"{path} is not a safetensors file. Other forms may hold code and are not accepted.")
    with connect(options, terminal) as darkroom, upload_bar(terminal, 0 if is_uri else path.stat().st_size) as count:
        model = darkroom.import_model(
            options.file,
            model_id=options.model or _name_of(path),
            prompt=options.prompt,
            base_model=options.base_model,
            replace=options.replace,
            on_upload=count,
        )
    draw = terminal.command("generate", model.prompt or "PROMPT", "--model", model.model_id)
    terminal.done(model.model_id, f"Imported {model.model_id}. Draw with it: {draw}")
    terminal.document(model)
    return ExitCode.DONE


def _name_of(path: Path) -> str:
    """The model's name by default: that of its file. Raises `InputError`."""
    try:
        return model_name(path.stem)
    except ArgumentTypeError:
        name = suggested_name(path.stem) or "my-lora"
        raise InputError(f"{path.name} does not give the model a name. Give it one, such as: --model {name}") from None


def download(options: Namespace, terminal: Terminal) -> int:
    with connect(options, terminal) as darkroom:
        model = darkroom.model(options.id)
        files = [each for each in model.files if options.form is None or each.form.lower() == options.form.lower()]
        if not files:
            forms = ", ".join(each.form for each in model.files) or "none"
            raise InputError(f"{options.id} has no file of this form. It has: {forms}.")
        for each in files:
            path = darkroom.download_file(each, options.output)
            terminal.saved(str(path))
            terminal.record(event="saved", name=each.name, path=str(path))
    return ExitCode.DONE
