"""The parser of `darkroom`. Imports no command: each names the function that runs it."""

from argparse import SUPPRESS, Action, ArgumentParser, BooleanOptionalAction, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from darkroom_client.cli import parsed_values
from darkroom_client.cli.plugins import KNOWN, plugin_names
from darkroom_client.version import version

EPILOG = """\
The gateway's address comes from --gateway, DARKROOM_GATEWAY_URL or the configuration file, the key from
DARKROOM_API_KEY or the configuration file: see `darkroom login`. Results go to stdout, messages and progress to
stderr.

Exit codes: 0 done, 1 the job failed, 2 wrong usage or an invalid request, 3 not found, 4 the gateway is unavailable,
5 the key is missing or not accepted, 6 conflict, 7 a file could not be saved, 130 interrupted.
"""


class _Version(Action):
    """Looks the version up only when it is asked for."""

    def __call__(self, parser: ArgumentParser, *_: Any) -> None:
        print(f"darkroom {version()}")
        parser.exit()


class _Parser(ArgumentParser):
    """Its help lists the commands of other packages too."""

    def format_help(self) -> str:
        listed = [f"  {name:<20}{KNOWN[name].help if name in KNOWN else ''}".rstrip() for name in plugin_names()]
        self.epilog = "\n".join(["commands on this machine:", *listed, "", EPILOG])
        return super().format_help()


def make_parser() -> ArgumentParser:
    parser = _Parser(
        prog="darkroom",
        description="Train and generate with a Darkroom gateway.",
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    _add_shared(parser)
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=ArgumentParser)
    for name, add in COMMANDS.items():
        add(_command(commands, name))
    return parser


def _add_shared(parser: ArgumentParser) -> None:
    """Before the command or after it. No defaults: those of the later parser would replace the earlier values."""
    shared = parser.add_argument_group("gateway and output")
    shared.add_argument("--gateway", metavar="URL", default=SUPPRESS, help="address of the gateway")
    shared.add_argument("--json", action="store_true", default=SUPPRESS, help="print JSON, for scripts")


def _command(commands: Any, name: str, text: str = "") -> ArgumentParser:
    parser: ArgumentParser = commands.add_parser(name, help=text or HELP[name], description=text or HELP[name])
    _add_shared(parser)
    return parser


def _run(parser: ArgumentParser, module: str, function: str) -> None:
    parser.set_defaults(command=(module, function))


def completed_by(argument: Action, completer: str) -> None:
    """Names the function of completion.py that proposes values."""
    argument.completer_name = completer  # type: ignore[attr-defined]


def _add_submission(parser: ArgumentParser) -> None:
    parser.add_argument("--priority", type=int, metavar="N", help="jobs with a higher one run first (default: 0)")
    parser.add_argument(
        "--set",
        dest="settings",
        action="append",
        default=[],
        type=parsed_values.setting,
        metavar="FIELD=VALUE",
        help="set any field of the job's spec, such as training.rank=16; may be repeated",
    )
    parser.add_argument("--spec", type=Path, metavar="FILE", help="a spec as YAML or JSON; other options win")


def _add_train(parser: ArgumentParser) -> None:
    parser.add_argument(
        "photos", nargs="*", type=Path, metavar="PHOTOS", help="folders or files, with captions and masks beside photos"
    )
    model = parser.add_argument("--model", "-m", metavar="ID", help="name under which the LoRA is stored")
    completed_by(model, "model_ids")
    parser.add_argument("--prompt", "-p", metavar="TEXT", help="what the photos show, such as: a photo of sks dog")
    parser.add_argument("--steps", type=parsed_values.count, metavar="N", help="training steps (default: 500)")
    parser.add_argument("--rank", type=parsed_values.count, metavar="N", help="rank of the LoRA")
    parser.add_argument("--learning-rate", type=float, metavar="X")
    parser.add_argument("--resolution", type=parsed_values.count, metavar="PX")
    parser.add_argument("--seed", type=int, metavar="N")
    parser.add_argument(
        "--sample", action="append", metavar="PROMPT", help="generate this image during the training; may be repeated"
    )
    parser.add_argument("--base-model", metavar="NAME", help="SDXL model to train (default: the cluster's)")
    parser.add_argument("--dataset", metavar="URI", help="photos in object storage (s3://...), instead of PHOTOS")
    parser.add_argument("--follow", "-f", action="store_true", help="show the progress until the training has ended")
    parser.add_argument("--output", "-o", type=Path, metavar="DIR", help="follow, and save samples and the LoRA here")
    _add_submission(parser)
    _run(parser, "submitting", "train")


def _add_generate(parser: ArgumentParser) -> None:
    parser.add_argument("prompt", metavar="PROMPT", help="what the images show")
    model = parser.add_argument(
        "--model",
        "-m",
        action="append",
        default=[],
        type=parsed_values.lora,
        metavar="ID[:SCALE]",
        help="LoRA to use, with its strength; may be repeated",
    )
    completed_by(model, "model_ids")
    parser.add_argument("--negative", metavar="TEXT", help="what the images should not show")
    parser.add_argument("--count", "-n", type=parsed_values.number, metavar="N", help="number of images (default: 1)")
    parser.add_argument("--size", type=parsed_values.size, metavar="WxH", help="such as 1024x768")
    parser.add_argument("--steps", type=parsed_values.count, metavar="N", help="denoising steps")
    parser.add_argument("--guidance", type=float, metavar="X", help="guidance scale")
    parser.add_argument("--seed", type=int, metavar="N", help="seed of the first image")
    parser.add_argument("--scheduler", metavar="NAME")
    parser.add_argument("--image", type=Path, metavar="FILE", help="picture that the prompt changes")
    parser.add_argument("--strength", type=float, metavar="X", help="how much of the picture changes: 0 to 1")
    parser.add_argument("--mask", type=Path, metavar="FILE", help="white where the picture is painted over")
    parser.add_argument("--video", action=BooleanOptionalAction, help="also make a clip from the first image")
    parser.add_argument("--video-image", type=Path, metavar="FILE", help="picture that the clip starts from")
    parser.add_argument("--base-model", metavar="NAME", help="SDXL model (default: the cluster's)")
    parser.add_argument(
        "--output", "-o", type=Path, default=Path(), metavar="DIR", help="folder for the files (default: this one)"
    )
    parser.add_argument("--detach", "-d", action="store_true", help="only submit the job; save nothing")
    _add_submission(parser)
    _run(parser, "submitting", "generate")


def _add_jobs(parser: ArgumentParser) -> None:
    parser.add_argument("--kind", type=parsed_values.kind, metavar="KIND", help="train or generate")
    parser.add_argument(
        "--status",
        action="append",
        type=parsed_values.status,
        metavar="STATUS",
        help="such as running; may be repeated",
    )
    completed_by(parser.add_argument("--model", "-m", metavar="ID", help="jobs that train or use it"), "model_ids")
    parser.add_argument("--by", metavar="NAME", help="jobs that this API key submitted")
    parser.add_argument("--query", "-q", metavar="TEXT", help="jobs whose prompt has words that begin with these")
    parser.add_argument("--limit", type=parsed_values.count, default=20, metavar="N", help="newest first (default: 20)")
    parser.add_argument("--cursor", metavar="CURSOR", help="continue after a page: its next_cursor of --json")
    _run(parser, "jobs", "list_jobs")


def _add_id(parser: ArgumentParser, *, several: bool = False) -> None:
    job = parser.add_argument("ids" if several else "id", nargs="+" if several else None, metavar="ID")
    completed_by(job, "job_ids")


def _add_job(parser: ArgumentParser) -> None:
    _add_id(parser)
    parser.add_argument("--follow", "-f", action="store_true", help="show the progress until the job has ended")
    _run(parser, "jobs", "show_job")


def _add_logs(parser: ArgumentParser) -> None:
    _add_id(parser)
    parser.add_argument("--follow", "-f", action="store_true", help="until the run ends")
    parser.add_argument("--attempt", type=parsed_values.count, metavar="N", help="run number (default: the newest)")
    _run(parser, "jobs", "show_logs")


def _acts(function: str) -> Callable[[ArgumentParser], None]:
    def add(parser: ArgumentParser) -> None:
        _add_id(parser, several=True)
        _run(parser, "jobs", function)

    return add


def _add_remove(parser: ArgumentParser) -> None:
    _add_id(parser, several=True)
    parser.add_argument("--files", action="store_true", help="with its files in object storage; models stay")
    _run(parser, "jobs", "remove")


def _add_priority(parser: ArgumentParser) -> None:
    _add_id(parser)
    parser.add_argument("priority", type=int, metavar="N")
    _run(parser, "jobs", "set_priority")


def _add_download(parser: ArgumentParser) -> None:
    _add_id(parser)
    parser.add_argument("--output", "-o", type=Path, default=Path(), metavar="DIR", help="default: this folder")
    _run(parser, "jobs", "download")


def _add_models(parser: ArgumentParser) -> None:
    _run(parser, "models", "list_models")
    commands = parser.add_subparsers(metavar="COMMAND")
    show = _command(commands, "show", "one model, its files and saved steps")
    _run(show, "models", "show_model")
    remove = _command(commands, "rm", "delete models, with all their files")
    _run(remove, "models", "remove")
    load = _command(commands, "import", "import a LoRA that was trained elsewhere")
    load.add_argument("file", metavar="FILE", help="a safetensors file, or an s3:// address")
    load.add_argument("--model", "-m", metavar="ID", help="its name (default: that of the file)")
    load.add_argument("--prompt", "-p", metavar="TEXT", help="its trigger words (default: those of the file)")
    load.add_argument("--base-model", metavar="NAME", help="SDXL model that it was made for")
    load.add_argument("--replace", action="store_true", help="replace an existing model of this name")
    _run(load, "models", "import_model")
    save = _command(commands, "download", "save the LoRA")
    save.add_argument("--form", metavar="FORM", help="only this form: diffusers, kohya or imported")
    save.add_argument("--output", "-o", type=Path, default=Path(), metavar="DIR", help="default: this folder")
    _run(save, "models", "download")
    for each, several in ((show, False), (remove, True), (save, False)):
        model = each.add_argument("ids" if several else "id", nargs="+" if several else None, metavar="ID")
        completed_by(model, "model_ids")


def _add_login(parser: ArgumentParser) -> None:
    _run(parser, "login", "login")


def _add_completion(parser: ArgumentParser) -> None:
    parser.add_argument("shell", choices=("bash", "zsh", "fish"))
    _run(parser, "completion", "print_script")


COMMANDS: dict[str, Callable[[ArgumentParser], None]] = {
    "train": _add_train,
    "generate": _add_generate,
    "jobs": _add_jobs,
    "job": _add_job,
    "logs": _add_logs,
    "cancel": _acts("cancel"),
    "suspend": _acts("suspend"),
    "resume": _acts("resume"),
    "retry": _acts("retry"),
    "priority": _add_priority,
    "rm": _add_remove,
    "download": _add_download,
    "models": _add_models,
    "login": _add_login,
    "completion": _add_completion,
}

HELP = {
    "train": "train a LoRA on photos",
    "generate": "generate images, and a clip, and save them",
    "jobs": "list jobs",
    "job": "show a job",
    "logs": "show the log of a job's run",
    "cancel": "stop and delete unfinished jobs",
    "suspend": "take jobs out of the queue; a training saves its state",
    "resume": "queue suspended jobs again",
    "retry": "submit the same jobs again, as new ones",
    "priority": "change the priority of a waiting job",
    "rm": "delete jobs",
    "download": "save the files of a job",
    "models": "list, import, save and delete models",
    "login": "store the gateway's address and the API key",
    "completion": "print the shell's completion script",
}


def gateway_of(options: Namespace) -> str | None:
    address: str | None = getattr(options, "gateway", None)
    return address
