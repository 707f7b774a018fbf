"""Reads the form of `POST /v1/images/edits`: pictures, and parameters as text. Called by openai_images/router.py."""

from starlette.requests import Request

from darkroom_contract.photos.limits import short_name
from darkroom_gateway.errors import FieldError, InvalidImagesError, invalid_request
from darkroom_gateway.generation.image_form import ImageForm, is_form
from darkroom_gateway.generation.image_sources import ImageRole
from darkroom_gateway.photos.upload_form import Upload

MAX_TEXTS = 50
MAX_TEXT_BYTES = 8 * 1024
LISTS = frozenset({"lora"})
"""Parameters that may be repeated."""

_FILES = (ImageRole.IMAGE.value, ImageRole.MASK.value)
_HOW = "client.images.edit(image=open('room.png', 'rb'), mask=open('mask.png', 'rb'), prompt=...)"


class EditForm(ImageForm):
    """A form with a picture, perhaps a mask, and parameters. Clients send lists as `name[]`."""

    def __init__(self) -> None:
        super().__init__()
        self._values: list[tuple[str, bytearray]] = []

    async def read_edit(self, request: Request) -> tuple[dict[ImageRole, Upload], dict[str, str | list[str]]]:
        """The pictures, and the parameters. Raises `InvalidImagesError`, `InvalidRequestError`, and
        `NoUploadSpaceError`."""
        if not is_form(request):
            message = f"Send multipart/form-data with the picture to edit: {_HOW}."
            raise InvalidImagesError((FieldError("image", message),))
        uploads = await self.read_images(request)
        if ImageRole.IMAGE not in uploads:
            raise InvalidImagesError((FieldError("image", f"Add the picture to edit to the form: {_HOW}."),))
        return uploads, self._parameters()

    def _parameters(self) -> dict[str, str | list[str]]:
        """Empty texts count as not sent: clients write null so."""
        found: dict[str, str | list[str]] = {}
        for name, content in self._values:
            text = content.decode(errors="replace")
            if name in LISTS:
                found[name] = [*found.get(name, ()), text]
            elif name in found:
                raise invalid_request([FieldError(name, "Send it once: the form has it several times.", text[:200])])
            elif text or name == "prompt":
                found[name] = text
        return found

    def _begin_file(self, filename: str) -> None:
        self._part.field = self._part.field.removesuffix("[]")
        if filename and self._part.field not in _FILES:
            message = f"Remove the file: the form has the files {' and '.join(_FILES)} only."
            raise InvalidImagesError((FieldError(short_name(self._part.field) or "form", message),))
        super()._begin_file(filename)

    def _begin_text(self) -> None:
        if len(self._values) == MAX_TEXTS:
            raise InvalidImagesError((FieldError("form", f"Send at most {MAX_TEXTS} parameters: the form has more."),))
        self._part.text = b""
        self._values.append((short_name(self._part.field.removesuffix("[]")), bytearray()))

    def _read_text(self, data: bytes) -> None:
        name, content = self._values[-1]
        content += data
        if len(content) > MAX_TEXT_BYTES:
            raise invalid_request([FieldError(name, f"Send at most {MAX_TEXT_BYTES // 1024} KiB of text.")])

    def _refuse_texts(self) -> None:
        """Texts are parameters here."""
