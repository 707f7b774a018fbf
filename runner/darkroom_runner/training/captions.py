"""Captions of photos: text files beside them. Imports no torch."""

from pathlib import Path

from darkroom_contract.specs.dataset import MAX_CAPTION_CHARACTERS
from darkroom_runner.errors import DatasetInvalidError

MAX_CAPTION_BYTES = 16 * 1024
"""Of a file. 1,000 characters take up to 4,000 bytes; the rest may be white space."""


def read_caption(path: Path, name: str) -> str | None:
    """A caption file's text on one line; None if it is blank. `name` is used in messages.

    Raises `DatasetInvalidError` if it is not UTF-8 text or too long.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _not_utf8(name, f"byte {error.start + 1} is not valid") from error
    if "\0" in text:  # Valid in UTF-8, but UTF-16 without a byte order mark is more likely.
        raise _not_utf8(name, "it contains NUL")
    caption = one_line(text)
    if len(caption) > MAX_CAPTION_CHARACTERS:
        raise DatasetInvalidError(
            f"The caption {name} has {len(caption)} characters, more than {MAX_CAPTION_CHARACTERS}. Shorten it."
        )
    return caption or None


def one_line(text: str) -> str:
    """With single spaces for all white space."""
    return " ".join(text.split())


def _not_utf8(name: str, why: str) -> DatasetInvalidError:
    return DatasetInvalidError(f"{name} is not UTF-8 text: {why}. Save the caption as UTF-8, or remove it.")
