"""The parser of `darkroom`. Imports no command: each names the function that runs it."""

from argparse import SUPPRESS, Action, ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path
from shutil import get_terminal_size
from textwrap import fill
from typing import Any

from darkroom_client.cli import names, parsed_values, spec_values
from darkroom_client.cli.help_format import ParagraphFormatter, examples
from darkroom_client.cli.plugins import KNOWN, plugin_names
from darkroom_client.cli.submission_options import add_generate, add_train, completed_by
from darkroom_client.cli.suggestions import SuggestingParser
from darkroom_client.version import version

EPILOG = """\
The gateway's address comes from --gateway, DARKROOM_GATEWAY_URL or the configuration file, the key from \
DARKROOM_API_KEY or the configuration file: see `darkroom login`. Results go to stdout, messages and progress to stderr.

exit codes:
  0  done
  1  the job failed
  2  wrong usage or an invalid request
  3  not found
  4  the gateway is unavailable
  5  the key is missing or not accepted
  6  conflict
  7  a file could not be saved
  130  interrupted
"""


START = examples(
    "darkroom up",
    'darkroom train ./photos --model my-dog --prompt "a photo of sks dog" --follow',
    'darkroom generate "a photo of sks dog on the moon" --model my-dog -o out/',
)
OUTPUT = "folder for the files (default: this one)"
MODEL = "of a model: see `darkroom models`; or of a saved step, such as my-dog@200"


class _Version(Action):
    """Looks the version up only when it is asked for."""

    def __call__(self, parser: ArgumentParser, *_: Any) -> None:
        print(f"darkroom {version()}")
        parser.exit()


class _Parser(SuggestingParser):
    """Its help lists the commands of other packages too."""

    def format_help(self) -> str:
        helps = {name: KNOWN[name].help if name in KNOWN else "" for name in plugin_names()}
        width = get_terminal_size().columns - 2
        listed = [
            fill(f"{name:<13}{text}", width, initial_indent="  ", subsequent_indent=" " * 15)
            for name, text in helps.items()
        ]
        self.epilog = "\n\n".join(["\n".join(["commands on this machine:", *listed]), START, EPILOG])
        return super().format_help()

    @property
    def more_commands(self) -> list[str]:  # type: ignore[override]
        return plugin_names()


def make_parser() -> ArgumentParser:
    parser = _Parser(
        prog="darkroom",
        usage="darkroom COMMAND [options]",
        description="Train and generate with a Darkroom gateway. `darkroom COMMAND --help` lists a command's options.",
        formatter_class=ParagraphFormatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    commands = parser.add_subparsers(
        required=True, metavar="COMMAND", title="commands", prog="darkroom", parser_class=SuggestingParser
    )
    for name, add in COMMANDS.items():
        command = _command(commands, name)
        add(command)
        _add_shared(command)
    _add_shared(parser)
    return parser


def _add_shared(parser: ArgumentParser) -> None:
    """Before the command or after it. No defaults: those of the later parser would replace the earlier values."""
    shared = parser.add_argument_group("gateway and output")
    shared.add_argument(
        "--gateway", metavar="URL", default=SUPPRESS, help="address of the gateway (default: http://127.0.0.1:8000)"
    )
    shared.add_argument("--json", action="store_true", default=SUPPRESS, help="print JSON, for scripts")


def _command(commands: Any, name: str, text: str = "") -> ArgumentParser:
    text = text or HELP[name]
    parser: ArgumentParser = commands.add_parser(
        name,
        help=text,
        description=f"{text[0].upper()}{text[1:]}.",
        formatter_class=ParagraphFormatter,
        allow_abbrev=False,  # "--guidanc" is a mistake, and would become ambiguous with another option.
    )
    return parser


def _run(parser: ArgumentParser, module: str, function: str) -> None:
    parser.set_defaults(command=(module, function))


def _add_train(parser: ArgumentParser) -> None:
    add_train(parser)
    _run(parser, "submitting", "train")


def _add_generate(parser: ArgumentParser) -> None:
    add_generate(parser)
    _run(parser, "submitting", "generate")


def _add_jobs(parser: ArgumentParser) -> None:
    parser.add_argument("--kind", type=parsed_values.kind, metavar="KIND", help="train or generate")
    parser.add_argument(
        "--status",
        action="append",
        type=parsed_values.status,
        metavar="STATUS",
        help="queued, starting, running, succeeded, failed or suspended; may be repeated",
    )
    model = parser.add_argument("--model", "-m", type=names.model_name, metavar="ID", help="jobs that train or use it")
    completed_by(model, "model_ids")
    parser.add_argument("--by", type=names.key_name, metavar="NAME", help="jobs that this API key submitted")
    parser.add_argument(
        "--query",
        "-q",
        type=names.words,
        metavar="TEXT",
        help="jobs whose prompt has words that begin with these",
    )
    parser.add_argument("--limit", type=parsed_values.count, default=20, metavar="N", help="newest first (default: 20)")
    parser.add_argument("--cursor", metavar="CURSOR", help="continue after a page: its next_cursor of --json")
    _run(parser, "jobs", "list_jobs")


def _add_id(parser: ArgumentParser, *, several: bool = False) -> None:
    job = parser.add_argument(
        "ids" if several else "id",
        nargs="+" if several else None,
        type=names.job_id,
        metavar="ID",
        help="of a job: see `darkroom jobs`",
    )
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
    parser.add_argument(
        "priority",
        type=spec_values.PRIORITY,
        metavar="N",
        help="-1000 to 1000; jobs with a higher one run first",
    )
    _run(parser, "jobs", "set_priority")


def _add_download(parser: ArgumentParser) -> None:
    _add_id(parser)
    parser.add_argument("--output", "-o", type=names.path, default=Path(), metavar="DIR", help=OUTPUT)
    _run(parser, "jobs", "download")


def _add_models(parser: ArgumentParser) -> None:
    _run(parser, "models", "list_models")
    parser.usage = "darkroom models [COMMAND] [options]"
    commands = parser.add_subparsers(
        metavar="COMMAND", title="commands", prog="darkroom models", description="without one: list the models"
    )
    show = _command(commands, "show", "one model or saved step, and its files")
    _run(show, "models", "show_model")
    remove = _command(commands, "rm", "delete models or saved steps, with all their files")
    _run(remove, "models", "remove")
    load = _command(commands, "import", "import a LoRA that was trained elsewhere")
    load.add_argument("file", metavar="FILE", help="a safetensors file, or an s3:// address")
    load.add_argument("--model", "-m", type=names.model_name, metavar="ID", help="its name (default: that of the file)")
    load.add_argument("--prompt", "-p", metavar="TEXT", help="its trigger words (default: those of the file)")
    load.add_argument("--base-model", type=names.base_model, metavar="NAME", help="SDXL model that it was made for")
    load.add_argument("--replace", action="store_true", help="replace an existing model of this name")
    _run(load, "models", "import_model")
    save = _command(commands, "download", "save the LoRA")
    save.add_argument("--form", metavar="FORM", help="only this form: diffusers, kohya or imported")
    save.add_argument("--output", "-o", type=names.path, default=Path(), metavar="DIR", help=OUTPUT)
    _run(save, "models", "download")
    for each, several in ((show, False), (remove, True), (save, False)):
        model = each.add_argument(
            "ids" if several else "id",
            nargs="+" if several else None,
            type=names.model_reference,
            metavar="ID",
            help=MODEL,
        )
        completed_by(model, "model_ids")
    for each in (show, remove, save, load):
        _add_shared(each)


def _add_login(parser: ArgumentParser) -> None:
    _run(parser, "login", "login")


def _add_completion(parser: ArgumentParser) -> None:
    parser.add_argument(
        "shell", choices=("bash", "zsh", "fish"), metavar="SHELL", help="the shell that completes: bash, zsh or fish"
    )
    parser.epilog = examples(
        'eval "$(darkroom completion bash)"  # in ~/.bashrc',
        'eval "$(darkroom completion zsh)"   # in ~/.zshrc, after compinit',
        "darkroom completion fish > ~/.config/fish/completions/darkroom.fish",
    )
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
