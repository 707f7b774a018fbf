"""`client.images.edit` of OpenAI's own package against the gateway."""

import base64
from collections.abc import Callable
from io import BytesIO
from typing import Any

import openai
import pytest
from PIL import Image
from support.s3_server import BUCKET

PICTURE = b"edited picture"
Draw = Callable[..., bytes]


def png(image: Image.Image) -> bytes:
    buffer = BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def masked_half() -> bytes:
    """Transparent on the left: that half is painted."""
    mask = Image.new("RGBA", (96, 80), "black")
    mask.paste((0, 0, 0, 0), (0, 0, 48, 80))
    return png(mask)


def stored(bucket: Any, uri: str) -> bytes:
    body: bytes = bucket.get_object(Bucket=BUCKET, Key=uri.removeprefix(f"s3://{BUCKET}/"))["Body"].read()
    return body


def test_transparent_part_of_the_mask_is_painted(client: openai.OpenAI, run: Any, bucket: Any, picture: Draw) -> None:
    image, mask = picture(), masked_half()

    answering = run.during(client.images.edit, image=("room.jpg", image), mask=("mask.png", mask), n=1)
    run.succeed(PICTURE)

    [edited] = answering.result().data
    assert base64.b64decode(edited.b64_json) == PICTURE
    spec = run.job()["spec"]
    assert (spec["mask"]["channel"], spec["startImage"]["strength"]) == ("Transparency", 1)
    assert stored(bucket, spec["startImage"]["uri"]) == image
    assert stored(bucket, spec["mask"]["uri"]) == mask


@pytest.mark.parametrize(
    ("body", "strength"), [({}, 0.6), ({"input_fidelity": "high"}, 0.35), ({"extra_body": {"strength": 0.2}}, 0.2)]
)
def test_without_a_mask_the_whole_picture_is_changed(
    client: openai.OpenAI, run: Any, picture: Draw, body: dict[str, Any], strength: float
) -> None:
    # One picture in a list is sent as `image[]`.
    answering = run.during(client.images.edit, image=[("room.jpg", picture())], size="auto", user=None, **body)
    run.succeed(PICTURE)

    assert answering.result().data[0].b64_json
    spec = run.job()["spec"]
    assert spec["startImage"]["strength"] == strength
    assert "mask" not in spec


@pytest.fixture(scope="module")
def files(picture: Draw) -> dict[str, bytes]:
    return {"photo": picture(), "opaque": picture(format_="PNG"), "half": masked_half(), "text": b"text"}


@pytest.mark.parametrize(
    ("names", "parameters", "param", "message"),
    [
        ({"mask": "opaque"}, {}, "mask", "no transparent part"),
        ({"mask": "half"}, {"input_fidelity": "high"}, "input_fidelity", "Leave it out"),
        ({"markup": "half"}, {}, "markup", "Remove the file"),
        ({"image": "text"}, {}, "image", "is no JPEG, PNG"),
        ({}, {"n": 9}, "n", "less than or equal to 8"),
        ({}, {"extra_body": {"seeds": 1}}, "seeds", "no such parameter"),
        ({}, {"prompt": ""}, "prompt", "prompt: "),
    ],
)
def test_refused_edit_names_the_parameter_and_makes_no_job(
    client: openai.OpenAI,
    run: Any,
    files: dict[str, bytes],
    names: dict[str, str],
    parameters: dict[str, Any],
    param: str,
    message: str,
) -> None:
    sent = {name: files[file] for name, file in ({"image": "photo"} | names).items()}
    with pytest.raises(openai.BadRequestError, match=message) as refused:
        client.images.edit(**{"prompt": run.prompt, **sent, **parameters})

    assert (refused.value.param, refused.value.type) == (param, "invalid_request_error")
    assert run.find() is None


def test_several_pictures_are_refused(client: openai.OpenAI, run: Any, files: dict[str, bytes]) -> None:
    with pytest.raises(openai.BadRequestError, match="Send one picture"):
        client.images.edit(image=[files["photo"], files["half"]], prompt=run.prompt)


def test_several_loras_of_an_edit_must_exist(client: openai.OpenAI, run: Any, picture: Draw, job_name: str) -> None:
    with pytest.raises(openai.NotFoundError, match=job_name) as unknown:
        client.images.edit(image=picture(), prompt=run.prompt, extra_body={"lora": [f"{job_name}:0.5", "other"]})

    assert unknown.value.param == "lora"
