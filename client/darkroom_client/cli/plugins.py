"""Commands of other packages: entry points of the group `darkroom.commands`.

An entry point names a function that takes the words of the command line, with its own name first, and runs the command.
So `darkroom up` works where `darkroom[local]` is installed, and the client imports nothing of it otherwise.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from darkroom_client.errors import ConfigurationError

GROUP = "darkroom.commands"

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

Command = Callable[[Sequence[str]], None]


@dataclass(frozen=True)
class KnownCommand:
    """A command of Darkroom itself that an extra brings."""

    extra: str
    help: str


KNOWN = {
    "up": KnownCommand("local", "run the whole system on this machine until Ctrl-C"),
    "demo": KnownCommand("local", "train on five photos, then draw a picture and animate it"),
    "node": KnownCommand("local", "run the pods of one namespace as processes; see `darkroom node --help`"),
}


class MissingExtraError(ConfigurationError):
    reason = "NotInstalled"


def plugin_names() -> list[str]:
    """The known commands, and those that other packages bring."""
    return [*KNOWN, *sorted({each.name for each in _entry_points()} - set(KNOWN))]


def _entry_points() -> list["EntryPoint"]:
    from importlib.metadata import entry_points

    return list(entry_points(group=GROUP))


def find_plugin(name: str) -> Command | None:
    """The command of this name. None if there is none. Raises `MissingExtraError` for one that is not installed."""
    known = KNOWN.get(name)
    found = [each for each in _entry_points() if each.name == name]
    if not found and known is None:
        return None
    try:
        if found:
            command: Command = found[0].load()
            return command
    except ModuleNotFoundError as error:
        if known is None:
            package = found[0].value.partition(":")[0]
            raise MissingExtraError(f"`darkroom {name}` of {package} can't be loaded: {error}.") from error
    assert known is not None
    raise missing_extra(f"`darkroom {name}`", known.extra)


def missing_extra(what: str, extra: str) -> MissingExtraError:
    error = MissingExtraError(f"{what} needs the extra {extra}, which is not installed.")
    error.advice = f"Install it in a checkout of Darkroom: pip install '.[{extra}]'"
    return error
