"""Reads the multipart form of an upload with limits. Called by photos/upload_validator.py.

Starlette's parser spools the whole form before an endpoint sees it, and keeps text fields in memory. This one refuses a
form at the first byte over a limit: per file, for all files, for the number of parts, and for text. It uses
python-multipart, which accepts 8 headers of 4 KiB per part.
"""

import errno
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from tempfile import SpooledTemporaryFile
from typing import IO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from darkroom_contract.photos import limits as bounds
from darkroom_contract.specs.dataset import MAX_CAPTION_CHARACTERS
from darkroom_gateway.backends.file_threads import run_to_end
from darkroom_gateway.errors import FieldError, InvalidPhotosError, NoUploadSpaceError, invalid_request
from darkroom_gateway.photos.file_roles import FileRole, role_and_stem

MIB = 1024**2
FILES = "files"
MAX_TEXT_FIELDS = 20
MAX_TEXT_BYTES = 200
"""Maximum length of a text field in an error message."""
MAX_CAPTION_BYTES = 8 * 1024
"""A caption file, white space included: a character of UTF-8 has at most four bytes."""
MAX_BOUNDARY_BYTES = 70
"""RFC 2046, 5.1.1."""

SPOOL_BYTES = 64 * 1024
"""Larger photos are spooled to unnamed temporary files, which disappear even if the gateway is killed."""
_BLOCK_BYTES = 256 * 1024
"""Size of one write, in a thread."""


@dataclass(eq=False)
class Upload:
    """A file of the form."""

    name: str
    """The file name of the client, shortened for messages."""
    size_bytes: int
    file: IO[bytes]
    role: FileRole = FileRole.PHOTO
    stem: str = ""
    """Pairs a caption or mask with its photo; never part of a key or a path."""


@dataclass
class _Part:
    """The current part."""

    headers: dict[bytes, bytes] = field(default_factory=dict)
    header_name: bytes = b""
    header_value: bytes = b""
    field: str = ""
    text: bytes | None = None
    """None for a file."""
    upload: Upload | None = None
    """None for a text field."""


class UploadForm:
    """The files of a form. `close` deletes them."""

    def __init__(self) -> None:
        self._uploads: list[Upload] = []
        self._files = Counter[FileRole]()
        self._texts: dict[str, bytes] = {}
        self._text_parts = 0
        self._part = _Part()
        self._total_bytes = 0
        self._unwritten: list[tuple[Upload, bytes]] = []
        self._unwritten_bytes = 0
        self._complete = False

    @property
    def uploads(self) -> list[Upload]:
        """The files, without the empty part that browsers send when no file was chosen."""
        return [each for each in self._uploads if each.name or each.size_bytes]

    def close(self) -> None:
        for each in self._uploads:
            with suppress(OSError):  # Closing retries a write that failed on a full disk.
                each.file.close()

    async def read(self, request: Request) -> None:
        """Read the body of a request.

        Raises `InvalidRequestError` for text fields, `InvalidPhotosError` for too many or too large files and for an
        invalid form, and `NoUploadSpaceError` when the temporary folder is full.
        """
        parser = self._parser(request)
        async for block in request.stream():
            with _mapped_parser_errors():
                parser.write(block)
            if self._unwritten_bytes >= _BLOCK_BYTES:
                await self._write()
        await self._write()
        self._refuse_texts()
        if not self._complete:
            raise _broken("it is truncated")

    def _parser(self, request: Request) -> MultipartParser:
        kind, options = parse_options_header(request.headers.get("content-type"))
        if kind.lower() != b"multipart/form-data":
            raise form_error(
                "Send the photos as multipart/form-data, one part each: curl -F files=@1.jpg -F files=@2.jpg."
            )
        boundary = options.get(b"boundary", b"")
        if not 0 < len(boundary) <= MAX_BOUNDARY_BYTES:
            raise _broken("the Content-Type names no boundary of 1 to 70 characters")
        return MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin_part,
                "on_header_field": self._read_header_name,
                "on_header_value": self._read_header_value,
                "on_header_end": self._end_header,
                "on_headers_finished": self._end_headers,
                "on_part_data": self._read_data,
                "on_part_end": self._end_part,
                "on_end": self._end,
            },
        )

    # --- parser callbacks --------------------------------------------------------------------------------------------

    def _begin_part(self) -> None:
        self._part = _Part()

    def _read_header_name(self, data: bytes, start: int, end: int) -> None:
        self._part.header_name += data[start:end]

    def _read_header_value(self, data: bytes, start: int, end: int) -> None:
        self._part.header_value += data[start:end]

    def _end_header(self) -> None:
        part = self._part
        part.headers[part.header_name.lower()] = part.header_value
        part.header_name = part.header_value = b""

    def _end_headers(self) -> None:
        part = self._part
        _, options = parse_options_header(part.headers.get(b"content-disposition"))
        if b"name" not in options:
            raise _broken('a part has no Content-Disposition with a "name"')
        part.field = _text(options[b"name"])
        if b"filename" in options:
            self._begin_file(_text(options[b"filename"]))
        else:
            self._begin_text()

    def _begin_file(self, filename: str) -> None:
        self._refuse_texts()
        role, stem = role_and_stem(filename)
        if self._files[role] == bounds.MAX_PHOTOS:
            raise form_error(f"Send at most {bounds.MAX_PHOTOS} {role}s: the form has more.")
        self._files[role] += 1
        file: IO[bytes] = SpooledTemporaryFile(max_size=SPOOL_BYTES)  # noqa: SIM115 (see `close`)
        self._part.upload = Upload(bounds.short_name(filename), 0, file, role, stem)
        self._uploads.append(self._part.upload)

    def _begin_text(self) -> None:
        if self._text_parts == MAX_TEXT_FIELDS:
            self._refuse_texts()
        self._text_parts += 1
        self._part.text = b""
        self._texts.setdefault(bounds.short_name(self._part.field), b"")

    def _read_data(self, data: bytes, start: int, end: int) -> None:
        upload = self._part.upload
        if upload is None:
            self._read_text(data[start:end])
            return
        upload.size_bytes += end - start
        self._total_bytes += end - start
        _check_size(upload, self._part.field)
        if self._total_bytes > bounds.MAX_DATASET_BYTES:
            raise form_error(f"Send at most {bounds.MAX_DATASET_BYTES // MIB} MiB in total: the form has more.")
        self._unwritten.append((upload, data[start:end]))
        self._unwritten_bytes += end - start

    def _read_text(self, data: bytes) -> None:
        name = bounds.short_name(self._part.field)
        read = self._texts[name] + data
        self._texts[name] = read[:MAX_TEXT_BYTES]
        if len(read) > MAX_TEXT_BYTES:
            self._refuse_texts()

    def _end_part(self) -> None:
        upload = self._part.upload
        if upload is not None and not upload.name and upload.size_bytes:
            upload.name = bounds.short_name(self._part.field)

    def _end(self) -> None:
        self._complete = True

    def _refuse_texts(self) -> None:
        """Raises `InvalidRequestError` for text fields, because a parameter in one would be ignored."""
        if self._texts:
            raise invalid_request(
                FieldError(name, _advice_on_text_field(name), _text(value)) for name, value in self._texts.items()
            )

    # --- files -------------------------------------------------------------------------------------------------------

    async def _write(self) -> None:
        if self._unwritten:
            try:
                await run_to_end(_write_all, self._unwritten)
            except OSError as error:
                raise no_space(error) from error
        self._unwritten, self._unwritten_bytes = [], 0


def form_error(message: str) -> InvalidPhotosError:
    """An error for the whole form."""
    return InvalidPhotosError((FieldError(FILES, message),))


def _write_all(blocks: list[tuple[Upload, bytes]]) -> None:
    for upload, block in blocks:
        upload.file.write(block)


def no_space(error: OSError) -> NoUploadSpaceError:
    """An error for a temporary file that can't be created or written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return NoUploadSpaceError("The gateway's temporary folder is full. Send the request again later.")
    return NoUploadSpaceError(f"The gateway's temporary folder can't be written to: {error.strerror}.")


def _check_size(upload: Upload, field_name: str) -> None:
    is_caption = upload.role is FileRole.CAPTION
    limit = MAX_CAPTION_BYTES if is_caption else bounds.MAX_PHOTO_BYTES
    if upload.size_bytes > limit:
        name = upload.name or bounds.short_name(field_name)
        shown = f"{MAX_CAPTION_CHARACTERS:,} characters" if is_caption else f"{limit // MIB} MiB"
        message = f"{name}: use a {upload.role} of at most {shown}. The files after it were not read."
        raise InvalidPhotosError((FieldError(name, message, f"more than {limit} bytes"),))


@contextmanager
def _mapped_parser_errors() -> Iterator[None]:
    try:
        yield
    except FormParserError as error:
        raise _broken(str(error).rstrip(".")) from error


def _broken(problem: str) -> InvalidPhotosError:
    return form_error(f"Send a complete multipart/form-data body: {problem}.")


def _advice_on_text_field(name: str) -> str:
    if name == FILES:
        return "Send the photo as a file, not as text. curl: -F files=@1.jpg, with the @."
    return f"Move it into the query string, ?{name}=...: the form may contain files only."


def _text(content: bytes) -> str:
    """Decode as UTF-8, in which browsers and curl encode names regardless of the declared charset."""
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content.decode("latin-1")
