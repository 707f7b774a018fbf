"""The upload form is refused at the first byte over a limit, and nothing after it is spooled."""

from collections.abc import AsyncIterator, Iterable

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from darkroom_contract.photos.limits import MAX_PHOTO_BYTES, MAX_PHOTOS
from darkroom_gateway.errors import InvalidPhotosError, InvalidRequestError, NoUploadSpaceError
from darkroom_gateway.photos import upload_form
from darkroom_gateway.photos.upload_form import UploadForm

BLOCK = bytes(64 * 1024)
FORM = "multipart/form-data; boundary=b"


class Body:
    """A request body, with the number of bytes that were read."""

    def __init__(self, blocks: Iterable[bytes], ends: bool = True) -> None:
        self._blocks = iter(blocks)
        self._ends = ends
        self.read_blocks = 0

    async def receive(self) -> Message:
        block = next(self._blocks, None)
        if block is None:
            return {"type": "http.request"} if self._ends else {"type": "http.disconnect"}
        self.read_blocks += 1
        return {"type": "http.request", "body": block, "more_body": True}

    def request(self, content_type: str = FORM) -> Request:
        headers = [(b"content-type", content_type.encode("latin-1"))]
        return Request({"type": "http", "method": "POST", "headers": headers}, self.receive)


def part(name: str, filename: str | None = None, extra: str = "") -> bytes:
    file = "" if filename is None else f'; filename="{filename}"'
    return f'\r\n--b\r\nContent-Disposition: form-data; name="{name}"{file}{extra}\r\n\r\n'.encode()


END = b"\r\n--b--\r\n"


@pytest.fixture
async def form() -> AsyncIterator[UploadForm]:
    found = UploadForm()
    yield found
    found.close()


async def read(form: UploadForm, *blocks: bytes, content_type: str = FORM) -> list[tuple[str, bytes]]:
    await form.read(Body(blocks).request(content_type))
    files = []
    for each in form.uploads:
        each.file.seek(0)
        files.append((each.name, each.file.read()))
    return files


async def test_files_are_read_unchanged(form: UploadForm) -> None:
    large = bytes(range(256)) * 4096
    body = b"".join([part("files", "a.jpg"), b"small", part("other", "ü.jpg"), large, END])

    found = await read(form, *[body[at : at + 10_007] for at in range(0, len(body), 10_007)])

    assert found == [("a.jpg", b"small"), ("ü.jpg", large)]


async def test_unnamed_file_has_its_fields_name_and_an_empty_chooser_is_no_file(form: UploadForm) -> None:
    assert await read(form, part("photo", ""), b"x", part("files", ""), END) == [("photo", b"x")]


async def test_too_large_file_stops_reading(form: UploadForm) -> None:
    body = Body([part("files", "large.jpg"), *[BLOCK] * (4 * MAX_PHOTO_BYTES // len(BLOCK)), END])

    with pytest.raises(InvalidPhotosError, match=r"large\.jpg: use a photo of at most 25 MiB") as refusal:
        await form.read(body.request())

    assert refusal.value.field_errors[0].parameter == "large.jpg"
    assert body.read_blocks <= MAX_PHOTO_BYTES // len(BLOCK) + 3


async def test_too_large_files_together_stop_reading(form: UploadForm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_form.bounds, "MAX_DATASET_BYTES", 10 * len(BLOCK))
    body = Body([part("files", "a.jpg"), BLOCK] * 50)

    with pytest.raises(InvalidPhotosError, match="in total"):
        await form.read(body.request())

    assert body.read_blocks <= 24


async def test_too_many_files_stop_reading(form: UploadForm) -> None:
    body = Body([part("files", "a.jpg"), b"x"] * 300)

    with pytest.raises(InvalidPhotosError, match="at most 100 photos"):
        await form.read(body.request())

    assert body.read_blocks == 2 * MAX_PHOTOS + 1


async def test_long_text_stops_reading(form: UploadForm) -> None:
    body = Body([part("prompt"), *[BLOCK] * 50, END])

    with pytest.raises(InvalidRequestError, match=r"\?prompt=") as refusal:
        await form.read(body.request())

    assert body.read_blocks == 2
    assert len(refusal.value.field_errors[0].given or "") == 200


async def test_file_after_a_text_stops_reading(form: UploadForm) -> None:
    body = Body([part("prompt"), b"sks dog", part("max_steps"), b"7", part("files", "a.jpg"), *[BLOCK] * 50, END])

    with pytest.raises(InvalidRequestError) as refusal:
        await form.read(body.request())

    given = {each.parameter: each.given for each in refusal.value.field_errors}
    assert given == {"prompt": "sks dog", "max_steps": "7"}
    assert body.read_blocks == 5


async def test_texts_after_the_files_are_all_named(form: UploadForm) -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        await read(form, part("files", "a.jpg"), b"x", part("prompt"), b"a", part("model_id"), b"b", END)

    assert {each.parameter for each in refusal.value.field_errors} == {"prompt", "model_id"}


@pytest.mark.parametrize(("names", "field_errors"), [(1000, 20), (1, 1)])
async def test_many_texts_stop_reading(form: UploadForm, names: int, field_errors: int) -> None:
    body = Body([part(f"field-{number % names}") for number in range(1000)])

    with pytest.raises(InvalidRequestError) as refusal:
        await form.read(body.request())

    assert len(refusal.value.field_errors) == field_errors
    assert body.read_blocks == 21


@pytest.mark.parametrize("header", ["X: " + "x" * 5000, "\r\n".join(f"X-{number}: x" for number in range(9))])
async def test_headers_of_a_part_are_limited(form: UploadForm, header: str) -> None:
    with pytest.raises(InvalidPhotosError, match="Send a complete multipart/form-data body"):
        await read(form, part("files", "a.jpg", extra=f"\r\n{header}"), b"x", END)


@pytest.mark.parametrize("content_type", ["multipart/form-data", f"multipart/form-data; boundary={'b' * 71}"])
async def test_invalid_boundary_is_refused(form: UploadForm, content_type: str) -> None:
    with pytest.raises(InvalidPhotosError, match="boundary of 1 to 70"):
        await read(form, END, content_type=content_type)


@pytest.mark.parametrize("charset", ["undefined", "idna", "utf-16", "nonsense"])
async def test_charset_of_the_form_is_ignored(form: UploadForm, charset: str) -> None:
    """Browsers and curl encode names in UTF-8; Python codecs of these names raise various errors."""
    found = await read(form, part("files", "ü.jpg"), b"x", END, content_type=f"{FORM}; charset={charset}")

    assert found == [("ü.jpg", b"x")]


async def test_truncated_form_is_refused(form: UploadForm) -> None:
    with pytest.raises(InvalidPhotosError, match="it is truncated"):
        await read(form, part("files", "a.jpg"), b"x", part("files", "b.jpg"), b"y")


async def test_part_without_a_name_is_refused(form: UploadForm) -> None:
    with pytest.raises(InvalidPhotosError, match='"name"'):
        await read(form, b"\r\n--b\r\nContent-Type: image/jpeg\r\n\r\nx", END)


async def test_client_disconnect_is_raised(form: UploadForm) -> None:
    with pytest.raises(ClientDisconnect):
        await form.read(Body([part("files", "a.jpg"), BLOCK], ends=False).request())


async def test_full_disk_is_not_the_photos_fault(form: UploadForm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_form, "SpooledTemporaryFile", lambda max_size: open("/dev/full", "wb", buffering=0))  # noqa: SIM115

    with pytest.raises(NoUploadSpaceError, match="temporary folder is full") as refusal:
        await read(form, part("files", "a.jpg"), *[BLOCK] * 10, END)

    assert (refusal.value.status, refusal.value.retry_after_seconds) == (503, 30)


async def test_too_long_caption_stops_reading(form: UploadForm) -> None:
    body = Body([part("files", "a.txt"), *[BLOCK] * 50, END])

    with pytest.raises(InvalidPhotosError, match=r"a\.txt: use a caption of at most 1,000 characters"):
        await form.read(body.request())

    assert body.read_blocks == 2


@pytest.mark.parametrize(("name", "what"), [("a.txt", "captions"), ("a.mask.png", "masks")])
async def test_too_many_files_beside_the_photos_stop_reading(form: UploadForm, name: str, what: str) -> None:
    photos = [part("files", "a.jpg"), b"x"] * MAX_PHOTOS
    body = Body([*photos, *[part("files", name), b"x"] * 300])

    with pytest.raises(InvalidPhotosError, match=f"at most 100 {what}"):
        await form.read(body.request())

    assert body.read_blocks == 4 * MAX_PHOTOS + 1


async def test_captions_and_masks_count_towards_the_size_in_total(
    form: UploadForm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload_form.bounds, "MAX_DATASET_BYTES", 10 * len(BLOCK))
    body = Body([part("files", "a.jpg"), BLOCK, part("files", "a.mask.png"), BLOCK] * 50)

    with pytest.raises(InvalidPhotosError, match="in total"):
        await form.read(body.request())

    assert body.read_blocks <= 24
