"""The parameter `lora` of POST /generate/lora: a LoRA with its scale, such as `my-dog@200:0.8`. Pure."""

import re
from collections.abc import Sequence

from darkroom_contract.names import LORA_URI_PATTERN, MAX_MODEL_REFERENCE_LENGTH, MODEL_REFERENCE_PATTERN
from darkroom_contract.specs.lora import MAX_LORA_SCALE, LoraUse
from darkroom_contract.storage.datasets import SAFETENSORS_ONLY
from darkroom_gateway.errors import FieldError, InvalidRequestError, invalid_request

PARAMETER = "lora"
MAX_LORA_LENGTH = 520
"""A URI of 512 characters with a scale."""

LORA_PATTERN = (
    f"^({MODEL_REFERENCE_PATTERN.removeprefix('^').removesuffix('$')}|"
    f"{LORA_URI_PATTERN.removeprefix('^').removesuffix('$')})(:-?[0-9]([.][0-9]{{1,6}})?)?$"
)
ADVICE = (
    "Write a model and its scale, such as my-dog:0.8 or my-dog@200:1, or a file, such as "
    "s3://bucket/loras/name.safetensors:0.8. The scale is from -2 to 2, and 1 when left out. "
    f"{SAFETENSORS_ONLY}"
)


def read_loras(texts: Sequence[str]) -> tuple[LoraUse, ...]:
    """The LoRAs of the parameters, which match `LORA_PATTERN`. Raises `InvalidRequestError`."""
    loras = tuple(_read(each) for each in texts)
    names = [each.name for each in loras]
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        raise _refused(f"{repeated} is named twice. Name each LoRA once, and add up the scales.", repeated)
    return loras


def _read(text: str) -> LoraUse:
    source, _, scale = text.rpartition(":") if re.search(r":-?[0-9.]+$", text) else (text, "", "1")
    if abs(float(scale)) > MAX_LORA_SCALE:
        raise _refused(f"Use a scale from {-MAX_LORA_SCALE:g} to {MAX_LORA_SCALE:g}.", text)
    is_file = source.startswith("s3://")
    if not is_file and len(source) > MAX_MODEL_REFERENCE_LENGTH:
        raise _refused(f"Use a model of at most {MAX_MODEL_REFERENCE_LENGTH} characters.", text)
    return LoraUse(uri=source, scale=float(scale)) if is_file else LoraUse(model_id=source, scale=float(scale))


def _refused(message: str, given: str) -> InvalidRequestError:
    return invalid_request([FieldError(PARAMETER, message, given)])
