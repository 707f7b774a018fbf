"""`client.images.generate` of OpenAI's own package, sync and async, against the gateway."""

import asyncio
import base64
from typing import Any

import httpx
import openai
import pytest
from openai.types import ImagesResponse
from support.running_gateway import Gateway

from darkroom_contract.names import Kind

PICTURES = (b"first picture", b"second picture")


def contents(answer: ImagesResponse) -> list[bytes]:
    return [base64.b64decode(each.b64_json or "") for each in answer.data or []]


def test_answer_has_the_pictures_of_the_job(client: openai.OpenAI, run: Any) -> None:
    answering = run.during(client.images.with_raw_response.generate, model="sdxl", n=2, size="512x768")
    name = run.succeed(*PICTURES)

    response = answering.result()
    answer = response.parse()

    assert response.headers["location"] == f"/v1/jobs/{name}"
    assert contents(answer) == list(PICTURES)
    assert (answer.created, answer.output_format, answer.size, answer.background) == (
        1767323045,
        "png",
        "512x768",
        "opaque",
    )
    assert [each.model_extra for each in answer.data] == [{"seed": 7}, {"seed": 8}]
    assert answer.model_extra == {"job_id": name}
    images = run.job()["spec"]["images"]
    assert (images["count"], images["width"], images["height"]) == (2, 512, 768)


async def test_async_client_gets_links(gateway: Gateway, run: Any) -> None:
    http = openai.DefaultAsyncHttpxClient(trust_env=False)
    base_url = str(gateway.http.base_url.join("/v1"))
    async with openai.AsyncOpenAI(base_url=base_url, api_key="unused", max_retries=0, http_client=http) as client:
        request = client.images.generate(prompt=run.prompt, response_format="url", output_format="webp")
        answering = asyncio.create_task(request)
        await asyncio.to_thread(run.succeed, *PICTURES, suffix="webp")
        answer = await answering

    [first, second] = answer.data or []
    assert (first.b64_json, second.b64_json) == (None, None)
    async with httpx.AsyncClient(trust_env=False) as http_client:
        downloads = [await http_client.get(str(each.url)) for each in (first, second)]
    assert [each.content for each in downloads] == list(PICTURES)
    assert answer.output_format == "webp"


def test_parameters_of_darkroom_reach_the_spec(client: openai.OpenAI, run: Any) -> None:
    body = {"seed": 5, "negative_prompt": "cats", "steps": 12, "guidance_scale": 3.5, "scheduler": "euler"}
    answering = run.during(
        client.images.generate,
        extra_body=body,
        quality="high",
        output_format="jpeg",
        output_compression=70,
        user="somebody",
    )
    run.succeed(*PICTURES, suffix="jpg")

    assert answering.result().quality == "high"
    spec = run.job()["spec"]
    assert spec["negativePrompt"] == "cats"
    assert (
        spec["images"].items()
        >= {
            "seed": 5,
            "steps": 12,
            "guidanceScale": 3.5,
            "scheduler": "Euler",
            "format": "JPEG",
            "quality": 70,
        }.items()
    )
    assert spec["cache"]["profile"] == "Quality"


def test_model_names_a_lora(client: openai.OpenAI, cluster: Any, run: Any, job_name: str) -> None:
    dataset = {"uri": "s3://darkroom/datasets/default/x/"}
    cluster.create(Kind.TRAIN, job_name, {"modelId": job_name, "prompt": "a", "dataset": dataset})

    answering = run.during(client.images.generate, model=job_name, extra_body={"lora_scale": 0.5})
    run.succeed(*PICTURES)

    assert contents(answering.result()) == list(PICTURES)
    spec = run.job()["spec"]
    assert (spec["modelId"], spec["loraScale"]) == (job_name, 0.5)


def test_other_name_of_a_model(impatient: Gateway, run: Any, client_of: Any) -> None:
    with client_of(impatient) as client:
        with pytest.raises(openai.NotFoundError, match="no-such-lora") as unknown:
            client.images.generate(prompt=run.prompt, model="gpt-image-1")
        with pytest.raises(openai.InternalServerError):  # Nobody finishes it.
            client.images.generate(prompt=run.prompt, model="dall-e-3")
        names = [each.id for each in client.models.list()]

    assert (unknown.value.param, unknown.value.code) == ("model", "model_not_found")
    assert "modelId" not in run.job()["spec"]
    assert names[:3] == ["sdxl", "dall-e-3", "gpt-image-1"]


def test_repeated_request_with_a_key_gets_the_same_pictures(client: openai.OpenAI, run: Any) -> None:
    headers = {"Idempotency-Key": run.key}
    answering = run.during(client.images.generate, extra_headers=headers)
    name = run.succeed(*PICTURES)
    again = client.images.generate(prompt=run.prompt, extra_headers=headers)

    assert again.model_extra == answering.result().model_extra == {"job_id": name}


def test_models_are_listed_and_retrieved(client: openai.OpenAI) -> None:
    listed = {each.id: each for each in client.models.list()}
    base = client.models.retrieve("sdxl")

    assert (listed["sdxl"].object, listed["sdxl"].owned_by) == ("model", "darkroom")
    assert isinstance(listed["sdxl"].created, int)
    assert (base.id, base.object, base.owned_by) == ("sdxl", "model", "darkroom")
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("no-such-model")
