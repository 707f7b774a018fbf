"""Reads multipart submissions: the part `spec` with a JSON spec, and files. Called by v1/submissions.py.

The limits of files are those of the query forms (photos/upload_form.py, generation/image_form.py). The part `spec` may
be text or a file, so that `curl -F spec=@spec.json` works too.
"""

from darkroom_contract.json_documents import Json
from darkroom_contract.photos.limits import short_name
from darkroom_gateway.errors import FieldError, InvalidRequestError, TooLargeError, invalid_request
from darkroom_gateway.generation.image_form import ImageForm
from darkroom_gateway.photos.upload_form import UploadForm
from darkroom_gateway.v1.bodies import MAX_JSON_BYTES, parse_object

SPEC = "spec"
_HOW = "curl -F 'spec={\"prompt\": ...};type=application/json'"


class SpecForm(UploadForm):
    """The files of a training, and its spec."""

    def __init__(self) -> None:
        super().__init__()
        self._spec: bytearray | None = None
        self._reads_spec = False

    def spec(self) -> Json:
        """The spec of a form that was read. Raises `InvalidRequestError`."""
        if self._spec is None:
            raise invalid_request([FieldError(SPEC, f"Add a part {SPEC} with the spec of the job as JSON. {_HOW}.")])
        return parse_object(bytes(self._spec), SPEC)

    def _begin_part(self) -> None:
        super()._begin_part()
        self._reads_spec = False

    def _begin_text(self) -> None:
        if self._part.field == SPEC:
            self._begin_spec()
        else:
            super()._begin_text()

    def _begin_file(self, filename: str) -> None:
        if self._part.field == SPEC:
            self._begin_spec()
        else:
            super()._begin_file(filename)

    def _begin_spec(self) -> None:
        if self._spec is not None:
            raise invalid_request([FieldError(SPEC, f"Send one part {SPEC}: the form has two.")])
        self._spec, self._reads_spec = bytearray(), True

    def _read_data(self, data: bytes, start: int, end: int) -> None:
        if not self._reads_spec or self._spec is None:
            super()._read_data(data, start, end)
            return
        self._spec += data[start:end]
        if len(self._spec) > MAX_JSON_BYTES:
            raise TooLargeError(f"Send at most {MAX_JSON_BYTES // 1024} KiB of JSON in the part {SPEC}.")

    def _refuse_texts(self) -> None:
        """Raises `InvalidRequestError` for other text parts, with advice for JSON."""
        if self._texts:
            raise _misplaced(self._texts)


class SpecImageForm(SpecForm, ImageForm):
    """The pictures of a generation, and its spec."""


def _misplaced(texts: dict[str, bytes]) -> InvalidRequestError:
    message = f"Move it into the JSON of the part {SPEC}, or send it as a file: other text parts would be ignored."
    return invalid_request(
        FieldError(short_name(name), message, value.decode(errors="replace")) for name, value in texts.items()
    )
