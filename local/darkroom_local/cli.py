"""The commands `up`, `demo` and `node` of `darkroom`: entry points of the group `darkroom.commands`.

A `LocalError` is printed as one line, with exit code 1. SIGTERM is handled like Ctrl-C.
"""

import argparse
import re
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import argcomplete
from rich.console import Console

from darkroom_contract.specs.job import MAX_SECONDS
from darkroom_contract.specs.train_job import MAX_STEPS
from darkroom_gateway.settings import BusyPolicy
from darkroom_local.cluster.temporary import TemporaryClusterOptions
from darkroom_local.command_parser import CommandParser, file, path
from darkroom_local.demo.demo import run_demo
from darkroom_local.errors import LocalError
from darkroom_local.node.__main__ import main as node_main
from darkroom_local.processes.ports import ANY_PORT, port_number
from darkroom_local.up import UpOptions, run_up

INTERRUPTED = 130
"""128 + SIGINT, as in shells."""


def main(arguments: Sequence[str] | None = None) -> None:
    words = sys.argv[1:] if arguments is None else list(arguments)
    if words[:1] == ["node"]:
        node_main(words[1:])
        return
    parser = _parser()
    argcomplete.autocomplete(parser)
    options = parser.parse_args(words)
    # Set explicitly: shells start background jobs with SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # Ignored under nohup.
        signal.signal(signal.SIGHUP, _interrupt)
    try:
        options.command(options, Console())
    except LocalError as error:
        print(f"darkroom: {error}", file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        # A full disk or a read-only folder: a traceback would not help.
        where = f": {error.filename}" if error.filename else ""
        print(f"darkroom: {error.strerror or error}{where}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("darkroom: interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)


def _interrupt(number: int, frame: FrameType | None) -> None:
    signal.raise_signal(signal.SIGINT)


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(prog="darkroom", description="Run Darkroom on this machine, for development and demos.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_up(commands.add_parser("up", help="run the whole system until Ctrl-C"))
    _add_demo(commands.add_parser("demo", help="train on five photos, then draw a picture and animate it"))
    commands.add_parser("node", help="run the pods of one namespace as processes; see `darkroom node --help`")
    return parser


def _add_up(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--state-dir", type=path, default=Path(".darkroom"), help="state directory (default: .darkroom)"
    )
    parser.add_argument(
        "--port",
        type=port_number(least=ANY_PORT),
        help="gateway port; 0 for any free one (default: 8000, or a free one if it is in use)",
    )
    parser.add_argument(
        "--busy-policy",
        type=_busy_policy,
        metavar="POLICY",
        default=BusyPolicy.QUEUE,
        help="the gateway's answer to a request while a job runs: Queue it, or Reject it with 409 (default: Queue)",
    )
    parser.add_argument(
        "--warm-seconds",
        type=_seconds,
        help="how long a runner waits for the next job with the base model in memory; 0: not at all (default: 60)",
    )
    _add_shared(parser)
    parser.set_defaults(command=_up)


def _add_demo(parser: argparse.ArgumentParser) -> None:
    output = Path("demo-output")
    parser.add_argument("--output", type=path, default=output, help=f"folder for picture and video (default: {output})")
    parser.add_argument("--keep", action="store_true", help="keep the state directory, to continue with `darkroom up`")
    parser.add_argument(
        "--max-steps", type=_steps, help="training steps (default: 300); fewer are faster and learn less"
    )
    _add_shared(parser)
    parser.set_defaults(command=_demo)


def _add_shared(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kubeconfig", type=file, help="use this existing API server instead of the embedded one")
    parser.add_argument("--namespace", type=_namespace, help="namespace of the jobs (default: the kubeconfig's)")
    parser.add_argument("--models", type=path, help="folder of base models (default: models/ of the source checkout)")


def _busy_policy(text: str) -> BusyPolicy:
    found = next((each for each in BusyPolicy if each.lower() == text.lower()), None)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is neither {' nor '.join(BusyPolicy)}")
    return found


def _namespace(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a namespace: use up to 63 lower-case letters, digits and '-', with a letter or digit at "
            "both ends"
        )
    return text


def _steps(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= MAX_STEPS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to {MAX_STEPS}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= MAX_SECONDS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0 to {MAX_SECONDS}")
    return seconds


def _up(options: argparse.Namespace, console: Console) -> None:
    chosen = UpOptions(
        state_dir=options.state_dir,
        kubeconfig=options.kubeconfig,
        namespace=options.namespace,
        port=options.port,
        models=options.models,
        busy_policy=options.busy_policy,
        warm_seconds=options.warm_seconds,
    )
    run_up(chosen, console)


def _demo(options: argparse.Namespace, console: Console) -> None:
    cluster = TemporaryClusterOptions(options.kubeconfig, options.namespace, options.models, options.keep)
    run_demo(cluster, options.output, options.max_steps, console)


if __name__ == "__main__":
    main()
