"""Reads the pictures of a multipart form. Called by generation/image_resolver.py.

The names of the parts say what a picture is for: `image`, `mask` or `video_image`, each at most once. The limits are
those of photos (photos/upload_form.py).
"""

from python_multipart.multipart import parse_options_header
from starlette.requests import Request

from darkroom_contract.photos.limits import short_name
from darkroom_gateway.errors import FieldError, InvalidImagesError, InvalidPhotosError, InvalidRequestError
from darkroom_gateway.generation.image_sources import ImageRole
from darkroom_gateway.http.unexpected_input import has_body
from darkroom_gateway.photos.upload_form import FILES, Upload, UploadForm

_PARTS = ", ".join(ImageRole)
_HOW = "curl -F image=@start.jpg"


def is_form(request: Request) -> bool:
    """Whether the body is a form that has content."""
    kind, _ = parse_options_header(request.headers.get("content-type"))
    return kind.lower() == b"multipart/form-data" and request.headers.get("content-length") != "0"


async def require_no_other_body(request: Request) -> None:
    """Raises `InvalidImagesError` for a body that is no form."""
    if not is_form(request) and await has_body(request):
        message = (
            "Put parameters into the query string (?name=value), and send pictures as multipart/form-data in parts "
            f"named {_PARTS}: {_HOW}."
        )
        kind = request.headers.get("content-type", "no Content-Type")
        raise InvalidImagesError((FieldError("body", message, short_name(kind)),))


class ImageForm(UploadForm):
    """A form with at most one picture of each role."""

    def __init__(self) -> None:
        super().__init__()
        self._by_role: dict[ImageRole, Upload] = {}

    async def read_images(self, request: Request) -> dict[ImageRole, Upload]:
        """The pictures. Each has the name of its part, which messages use.

        Raises `InvalidImagesError`, `InvalidRequestError` for text fields, and `NoUploadSpaceError`.
        """
        try:
            await self.read(request)
        except InvalidPhotosError as error:
            raise _as_images(error) from error
        return {role: each for role, each in self._by_role.items() if each in self.uploads}

    def _begin_file(self, filename: str) -> None:
        name = self._part.field
        if name not in set(ImageRole):
            message = f"Name the part after what the picture is for: {_PARTS}. {_HOW}."
            raise InvalidImagesError((FieldError(short_name(name) or "form", message),))
        if name in self._by_role:
            raise InvalidImagesError((FieldError(name, "Send one picture: the form has two of this name."),))
        super()._begin_file(name if filename else "")  # The client's file name says nothing here.
        upload = self._part.upload
        if upload is not None:
            self._by_role[ImageRole(name)] = upload

    def _refuse_texts(self) -> None:
        try:
            super()._refuse_texts()
        except InvalidRequestError as error:
            raise _with_advice(error) from error


def _with_advice(error: InvalidRequestError) -> InvalidImagesError:
    """An error for text fields: a picture needs an @ in curl."""
    advice = f"Send the picture as a file, not as text. {_HOW}, with the @."
    return InvalidImagesError(
        tuple(
            FieldError(each.parameter, advice if each.parameter in set(ImageRole) else each.message, each.given)
            for each in error.field_errors
        )
    )


def _as_images(error: InvalidPhotosError) -> InvalidImagesError:
    return InvalidImagesError(
        tuple(
            FieldError("form" if each.parameter == FILES else each.parameter, each.message, each.given)
            for each in error.field_errors
        )
    )
