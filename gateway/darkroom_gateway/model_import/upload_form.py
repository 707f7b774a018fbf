"""Reads the LoRA file of a multipart form into a temporary file. Called by model_import/lora_source.py.

http/body_limit.py limits the size of the whole form. Pickles are refused at their first bytes, before the rest is
received.
"""

from typing import IO, cast

from python_multipart.multipart import parse_options_header
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from darkroom_contract.photos.limits import short_name
from darkroom_gateway.errors import FieldError, InvalidModelError, InvalidRequestError, invalid_request
from darkroom_gateway.photos.upload_form import no_space

FILE = "file"
MAX_TEXT_FIELDS = 20
PICKLES = (".ckpt", ".pt", ".pth", ".bin", ".pkl")
ZIP_START = b"PK\x03\x04"
"""Of an archive of pickles, as torch writes it since 1.6."""
PICKLE_STARTS = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
_FIRST_OPCODE = 0x20
"""All opcodes of pickle are above. https://github.com/python/cpython/blob/main/Lib/pickle.py"""


def invalid_model(name: str, message: str, *more: FieldError) -> InvalidModelError:
    """An error for the file `name`."""
    return InvalidModelError(f"{name}: {message}", (FieldError(name, message), *more))


def refuse_pickle(name: str, start: bytes = b"") -> None:
    """Raises `InvalidModelError` for a file with the extension or the first bytes of a pickle."""
    if name.lower().endswith(PICKLES) or _is_pickle(start):
        raise invalid_model(
            name,
            "It is a pickle, which can run code when it is loaded. Send a .safetensors file: most tools can save one, "
            "and many models are published in both formats.",
        )


def _is_pickle(start: bytes) -> bool:
    """Whether a file begins as a pickle. A safetensors file begins with the length of its header in 8 bytes, the first
    two of which may be those of a pickle: 640 is `80 02 00 00 00 00 00 00`."""
    if start.startswith(PICKLE_STARTS):
        return start[2:3] > bytes([_FIRST_OPCODE]) and start[4:8] != bytes(4)
    return start.startswith(ZIP_START)


class LoraForm(MultiPartParser):
    """A form with one file."""

    spool_max_size = 1024 * 1024
    """Larger files are spooled to an unnamed temporary file, which disappears even if the gateway is killed."""

    def __init__(self, request: Request) -> None:
        super().__init__(request.headers, request.stream(), max_files=1, max_fields=MAX_TEXT_FIELDS, max_part_size=1024)
        self._start = b""

    def on_headers_finished(self) -> None:
        super().on_headers_finished()
        file = self._current_part.file
        if file is not None:
            refuse_pickle(short_name(file.filename or FILE))

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        file = self._current_part.file
        if file is not None and len(self._start) < 8:
            self._start += data[start : min(start + 8, end)]
            refuse_pickle(short_name(file.filename or FILE), self._start)
        super().on_part_data(data, start, end)


async def read_form(request: Request) -> tuple[str, IO[bytes]]:
    """The client's file name and the open file, which the caller closes.

    Raises `InvalidModelError` for other files, `InvalidRequestError` for text fields and for a form without a file, and
    `NoUploadSpaceError` when the temporary folder is full.
    """
    kind, options = parse_options_header(request.headers.get("content-type"))
    if kind.lower() != b"multipart/form-data" or b"boundary" not in options:
        raise _unusable("Send the LoRA as multipart/form-data: curl -F file=@my-lora.safetensors.")
    try:
        form = await LoraForm(request).parse()
    except MultiPartException as error:
        raise _unusable(
            f"Send one file in a complete multipart/form-data body: {error.message.rstrip('.')}."
        ) from error
    except OSError as error:
        raise no_space(error) from error
    texts = [(name, value) for name, value in form.multi_items() if isinstance(value, str)]
    files = [value for _, value in form.multi_items() if not isinstance(value, str)]
    if texts or not files:
        for each in files:
            each.file.close()
        raise _misplaced(texts) if texts else _unusable("Add the LoRA to the form: it has no file.")
    return short_name(files[0].filename or FILE), cast(IO[bytes], files[0].file)


def _misplaced(texts: list[tuple[str, str]]) -> InvalidRequestError:
    advice = "Move it into the query string: the form may contain the file only. A file needs an @: curl -F file=@name."
    return invalid_request(FieldError(short_name(name), advice, value[:200]) for name, value in texts)


def _unusable(message: str) -> InvalidModelError:
    return InvalidModelError(message, (FieldError(FILE, message),))
