"""Values of options. Each function raises `ArgumentTypeError` with what is wrong."""

from argparse import ArgumentTypeError
from typing import Any

KINDS = {"train": "TrainJob", "trainjob": "TrainJob", "generate": "GenerateJob", "generatejob": "GenerateJob"}
STATUSES = ("Queued", "Starting", "Running", "Succeeded", "Failed", "Suspended")


def count(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def kind(text: str) -> str:
    if text.lower() not in KINDS:
        raise ArgumentTypeError(f"{text!r} is neither train nor generate")
    return KINDS[text.lower()]


def status(text: str) -> str:
    found = next((each for each in STATUSES if each.lower() == text.lower()), None)
    if found is None:
        raise ArgumentTypeError(f"{text!r} is none of {', '.join(STATUSES)}")
    return found


def setting(text: str) -> dict[str, Any]:
    """training.rank=16 as {"training": {"rank": 16}}. The value is YAML."""
    import yaml

    path, separator, value = text.partition("=")
    names = path.split(".")
    if not separator or not all(names):
        raise ArgumentTypeError(f"{text!r} is not a field with a value, such as training.rank=16")
    try:
        found: Any = yaml.safe_load(value)
    except yaml.YAMLError:
        raise ArgumentTypeError(f"the value of {path} is not YAML: {value!r}") from None
    for name in reversed(names):
        found = {name: found}
    document: dict[str, Any] = found
    return document
