"""Request bodies of `/v1` in OpenAPI. FastAPI does not generate them: endpoints read bodies themselves, to limit them.

`SCHEMAS` are added to the components of the document, by `docs.openapi`.
"""

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from darkroom_contract.photos.limits import FORMAT_NAMES, MAX_PHOTOS
from darkroom_contract.specs.dataset import MAX_CAPTION_CHARACTERS
from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_contract.specs.job import JobSpec
from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_gateway.generation.image_sources import ImageRole
from darkroom_gateway.v1.spec_form import SPEC
from darkroom_gateway.v1.upload_schemas import NewUpload

Json = dict[str, Any]

_REF = "#/components/schemas/{model}"
_MODELS: tuple[type[BaseModel], ...] = (TrainJobSpec, GenerateJobSpec, NewUpload)


def _schemas() -> Json:
    _, document = models_json_schema([(each, "validation") for each in _MODELS], ref_template=_REF)
    found: Json = document["$defs"]
    for each in found.values():
        if "properties" in each:
            each["additionalProperties"] = False
    return found


SCHEMAS = _schemas()

TRAIN_EXAMPLE = {
    "modelId": "my-dog",
    "prompt": "a photo of sks dog",
    "dataset": {"uri": "s3://darkroom/datasets/default/my-dog/"},
    "maxSteps": 500,
    "training": {"rank": 16},
}
GENERATE_EXAMPLE = {
    "prompt": "a photo of sks dog on the beach",
    "modelId": "my-dog",
    "images": {"count": 4, "seed": 7},
}
_BINARY = {"type": "string", "format": "binary"}


def _spec_part(example: Json) -> Json:
    return {
        "type": "string",
        "contentMediaType": "application/json",
        "description": "The spec as JSON, without what the files give.",
        "examples": [example],
    }


def _files(description: str) -> Json:
    return {"type": "array", "maxItems": MAX_PHOTOS, "items": _BINARY, "description": description}


def _ref(model: type[BaseModel]) -> Json:
    return {"$ref": _REF.format(model=model.__name__)}


def _body(content: Json) -> Json:
    return {"requestBody": {"required": True, "content": content}}


def _form(example: Json, parts: Json) -> Json:
    return {"schema": {"type": "object", "required": [SPEC], "properties": {SPEC: _spec_part(example), **parts}}}


TRAIN_BODY = _body(
    {
        "application/json": {"schema": _ref(TrainJobSpec), "example": TRAIN_EXAMPLE},
        "multipart/form-data": _form(
            {name: value for name, value in TRAIN_EXAMPLE.items() if name != "dataset"},
            {
                "files": _files(f"Photos of the subject: {FORMAT_NAMES}. File names say what a file is."),
                "captions": _files(
                    "photo.txt is the caption of photo.jpg, in place of the prompt: UTF-8, at most "
                    f"{MAX_CAPTION_CHARACTERS:,} characters."
                ),
                "masks": _files("photo.mask.png is the mask of photo.jpg, for training.maskedLoss: white is learned."),
            },
        ),
    }
)
GENERATE_BODY = _body(
    {
        "application/json": {"schema": _ref(GenerateJobSpec), "example": GENERATE_EXAMPLE},
        "multipart/form-data": _form(
            {"prompt": "a watercolour", "startImage": {"strength": 0.5}},
            {
                ImageRole.IMAGE.value: {**_BINARY, "description": "The picture of startImage."},
                ImageRole.MASK.value: {**_BINARY, "description": "The picture of mask."},
                ImageRole.VIDEO_IMAGE.value: {**_BINARY, "description": "The picture of video.startImage."},
            },
        ),
    }
)
UPLOAD_BODY = _body(
    {
        "application/json": {
            "schema": _ref(NewUpload),
            "example": {"files": [{"name": "1.jpg", "bytes": 245760}, {"name": "1.txt", "bytes": 31}]},
        }
    }
)
_PATCH_FIELDS = JobSpec.model_json_schema()["properties"]
PATCH_BODY = _body(
    {
        "application/json": {
            "schema": {
                "type": "object",
                "minProperties": 1,
                "additionalProperties": False,
                "properties": {
                    name: {key: value for key, value in _PATCH_FIELDS[name].items() if key != "default"}
                    for name in ("priority", "suspend")
                },
            },
            "example": {"priority": 10},
        }
    }
)
