"""The `darkroom` command: `up`, `demo` and `node`.

Errors that say what to do are printed as they are, and the exit code is 1. Ctrl-C and SIGTERM mean the same.
"""

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from rich.console import Console

from darkroom_gateway.settings import BusyPolicy
from darkroom_local.demo import DemoOptions, run_demo
from darkroom_local.errors import LocalError
from darkroom_local.node.__main__ import main as node_main
from darkroom_local.processes.ports import ANY_PORT, port_number
from darkroom_local.up import UpOptions, run_up

INTERRUPTED = 130
"""128 + SIGINT, as shells have it."""


def main(arguments: Sequence[str] | None = None) -> None:
    words = sys.argv[1:] if arguments is None else list(arguments)
    if words[:1] == ["node"]:
        node_main(words[1:])
        return
    options = _parser().parse_args(words)
    # Not inherited: a shell starts what it runs in the background with SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # As nohup has it: then a closed terminal ends nothing.
        signal.signal(signal.SIGHUP, _interrupt)
    try:
        options.command(options, Console())
    except LocalError as error:
        print(f"darkroom: {error}", file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        # A full disk, a folder that may not be written: the machine's trouble, and no traceback of ours explains it.
        where = f": {error.filename}" if error.filename else ""
        print(f"darkroom: {error.strerror or error}{where}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("darkroom: interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)


def _interrupt(number: int, frame: FrameType | None) -> None:
    signal.raise_signal(signal.SIGINT)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="darkroom", description="Darkroom on this machine.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_up(commands.add_parser("up", help="run the whole system until Ctrl-C"))
    _add_demo(commands.add_parser("demo", help="learn a subject from five photos, draw it, and move it"))
    commands.add_parser("node", help="run the pods of one namespace as processes; see `darkroom node --help`")
    return parser


def _add_up(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--state-dir", type=Path, default=Path(".darkroom"), help="what is kept (default: .darkroom)")
    parser.add_argument(
        "--port",
        type=port_number(least=ANY_PORT),
        help="of the gateway; 0: any that is free (default: 8000, or a free one if that is taken)",
    )
    parser.add_argument(
        "--busy-policy",
        type=BusyPolicy,
        choices=list(BusyPolicy),
        default=BusyPolicy.QUEUE,
        help="what the gateway does with a request while a job runs: queue it, or answer 409 (default: Queue)",
    )
    _add_shared(parser)
    parser.set_defaults(command=_up)


def _add_demo(parser: argparse.ArgumentParser) -> None:
    output = Path("demo-output")
    parser.add_argument("--output", type=Path, default=output, help=f"folder of picture and video (default: {output})")
    parser.add_argument("--keep", action="store_true", help="keep the state folder, to go on with `darkroom up`")
    parser.add_argument("--max-steps", type=_steps, help="of the training: fewer are sooner over, and learn less")
    _add_shared(parser)
    parser.set_defaults(command=_demo)


def _add_shared(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kubeconfig", type=Path, help="use this API server in place of the embedded one")
    parser.add_argument("--namespace", help="of the jobs (default: the kubeconfig's own)")
    parser.add_argument("--models", type=Path, help="folder of base models (default: those of the source tree)")


def _steps(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1")
    return int(text)


def _up(options: argparse.Namespace, console: Console) -> None:
    chosen = UpOptions(
        state_dir=options.state_dir,
        kubeconfig=options.kubeconfig,
        namespace=options.namespace,
        port=options.port,
        models=options.models,
        busy_policy=options.busy_policy,
    )
    run_up(chosen, console)


def _demo(options: argparse.Namespace, console: Console) -> None:
    chosen = DemoOptions(
        output=options.output,
        keep=options.keep,
        kubeconfig=options.kubeconfig,
        namespace=options.namespace,
        models=options.models,
        max_steps=options.max_steps,
    )
    run_demo(chosen, console)


if __name__ == "__main__":
    main()
