"""Rules of the CRDs between fields, as an API server applies them at creation."""

from collections.abc import Iterator
from typing import Any

import pytest
from support.kube_api import Api, ApiServer, Json, install_crds, ok, refused

from darkroom_contract.names import API_VERSION, Kind

STYLE = "s3://darkroom/loras/default/style.safetensors"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with ApiServer(tmp_path_factory.mktemp("apiserver")) as server:
        install_crds(server.http)
        found = Api(server.kubeconfig, "default")
        yield found
        found.http.close()


def job(kind: Kind, **spec: Any) -> Json:
    given: Json = {"prompt": "a dog", **spec}
    if kind is Kind.TRAIN:
        given |= {"modelId": "dog", "dataset": {"uri": "s3://darkroom/datasets/default/dog/"}}
    return {"apiVersion": API_VERSION, "kind": kind.value, "metadata": {"generateName": "a-"}, "spec": given}


def created(api: Api, document: Json) -> Any:
    return api.create(f"{Kind(document['kind']).plural}.{API_VERSION}", document)


def generation(**spec: Any) -> Json:
    return job(Kind.GENERATE, **spec)


def continuing(**lora: Any) -> Json:
    return job(Kind.TRAIN, training={"initialLora": lora})


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (generation(loras=[{"scale": 1}]), "each of spec.loras needs exactly one of modelId and uri"),
        (generation(loras=[{"modelId": "a"}, {"modelId": "a", "uri": STYLE}]), "needs exactly one of modelId and uri"),
        (generation(modelId="a", loras=[{"modelId": "b"}]), "spec.modelId is the short form of spec.loras"),
        (continuing(), "spec.training.initialLora needs exactly one of modelId and uri"),
        (continuing(modelId="a", uri=STYLE), "spec.training.initialLora needs exactly one of modelId and uri"),
    ],
)
def test_contradictory_references_to_loras_are_refused(api: Api, document: Json, message: str) -> None:
    assert message in refused(created(api, document), 422)


@pytest.mark.parametrize(
    "document",
    [
        generation(),
        generation(modelId="a@200"),
        generation(loras=[{"modelId": "a@best", "scale": -0.5}, {"uri": STYLE}]),
        continuing(modelId="a@best"),
        continuing(uri=STYLE),
        job(Kind.TRAIN),
    ],
)
def test_one_reference_for_each_lora_is_accepted(api: Api, document: Json) -> None:
    ok(created(api, document), 201)


@pytest.mark.parametrize("reference", ["a@", "a@0", "a@worst", "a@123456", "@200", "../a", "a@200@best"])
def test_a_malformed_reference_is_refused(api: Api, reference: str) -> None:
    for document in (generation(modelId=reference), generation(loras=[{"modelId": reference}])):
        assert "should match" in refused(created(api, document), 422)


@pytest.mark.parametrize(
    "uri", ["s3://darkroom/loras/x.ckpt", "https://darkroom/x.safetensors", "s3://d/x.safetensors"]
)
def test_a_uri_that_is_no_lora_file_is_refused(api: Api, uri: str) -> None:
    assert "should match" in refused(created(api, continuing(uri=uri)), 422)


def test_more_loras_than_allowed_are_refused(api: Api) -> None:
    loras = [{"modelId": f"a{number}"} for number in range(6)]
    assert "must have at most 5 items" in refused(created(api, generation(loras=loras)), 422)
