"""Types of arguments that are names, texts and paths. Each raises `ArgumentTypeError` with what is wrong.

The patterns are those of the contract and of the gateway's paths: a name that can't exist is refused before a request.
"""

import re
import unicodedata
from argparse import ArgumentTypeError
from pathlib import Path

MAX_NAME_CHARACTERS = 63
NAME_RULE = "use letters, digits, '.', '_' and '-', at most 63, with a letter or digit at both ends"


def model_name(text: str) -> str:
    from darkroom_contract.names import MODEL_ID_PATTERN

    if not re.fullmatch(MODEL_ID_PATTERN, text):
        raise ArgumentTypeError(f"{text!r} is not a name for a model: {NAME_RULE}.{_such_as(text)}")
    return text


def model_reference(text: str) -> str:
    """A model, or one of its saved steps."""
    from darkroom_contract.names import MODEL_REFERENCE_PATTERN, model_of_reference, step_of_reference

    if re.fullmatch(MODEL_REFERENCE_PATTERN, text):
        return text
    if text.count("@") == 1 and re.fullmatch(MODEL_REFERENCE_PATTERN, model_of_reference(text)):
        step = step_of_reference(text) or ""
        name = model_of_reference(text)
        raise ArgumentTypeError(f"{step!r} is not a saved step: use its number or best, such as {name}@200")
    raise ArgumentTypeError(f"{text!r} is not the name of a model: {NAME_RULE}.{_such_as(text)}")


def key_name(text: str) -> str:
    from darkroom_contract.names import KEY_NAME_PATTERN

    if not re.fullmatch(KEY_NAME_PATTERN, text):
        raise ArgumentTypeError(f"{text!r} is not the name of an API key: {NAME_RULE}")
    return text


def job_id(text: str) -> str:
    from darkroom_contract.names import MAX_JOB_NAME_LENGTH

    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", text) or len(text) > MAX_JOB_NAME_LENGTH:
        raise ArgumentTypeError(f"{text!r} is not the id of a job. List the jobs with: darkroom jobs")
    return text


def base_model(text: str) -> str:
    from darkroom_contract.names import BASE_MODEL_PATTERN

    if not re.fullmatch(BASE_MODEL_PATTERN, text):
        raise ArgumentTypeError(
            f"{text!r} is not a base model: use owner/name of the Hugging Face hub, or the plain name of a folder of "
            "the model root"
        )
    return text


def dataset_uri(text: str) -> str:
    from darkroom_contract.names import DATASET_URI_PATTERN

    if not re.fullmatch(DATASET_URI_PATTERN, text):
        raise ArgumentTypeError(f"{text!r} is not a folder in object storage, such as s3://bucket/folder/")
    return text


def words(text: str) -> str:
    """A text that says something."""
    if not text.strip():
        raise ArgumentTypeError("the text is empty. Write some words, in quotes")
    return text


def path(text: str) -> Path:
    """An empty one would be the current folder: usually a variable of a script that is not set."""
    if not text:
        raise ArgumentTypeError("the path is empty. For this folder write a dot: .")
    return Path(text)


def file(text: str) -> Path:
    """The path of a file."""
    if not text:
        raise ArgumentTypeError("the path is empty. Give a file")
    return Path(text)


def suggested_name(text: str) -> str | None:
    """`my-star` for `My Star`; None if nothing is left of the text."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9._-]+", "-", plain)[:MAX_NAME_CHARACTERS].strip("-._") or None


def _such_as(text: str) -> str:
    name = suggested_name(text)
    return "" if name is None else f" Did you mean {name}?"
