"""The `model` of a request: the base model, a LoRA, or another name that the deployment gives to one of them. Pure."""

import re
from collections.abc import Mapping

from darkroom_contract.names import MODEL_REFERENCE_PATTERN
from darkroom_gateway.errors import FieldError, UnknownModelError

BASE_MODEL = "sdxl"
"""The name of the cluster's base model, without a LoRA. A LoRA of this name is found by the other endpoints only."""

MAX_ALIAS_CHARACTERS = 100
_ALIAS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]*")


def lora_of(model: str | None, aliases: Mapping[str, str]) -> str | None:
    """The LoRA that a request names, such as `my-dog@200`; None for the base model, also when it names none.

    Raises `UnknownModelError` for what is no name of a LoRA, such as `owner/name`."""
    name = BASE_MODEL if model is None else aliases.get(model, model)
    if name == BASE_MODEL:
        return None
    if not re.fullmatch(MODEL_REFERENCE_PATTERN, name):
        message = f"There is no model {name!r}. Use {BASE_MODEL}, or the name of a LoRA."
        raise UnknownModelError(message, (FieldError("model", message, name),))
    return name


def read_aliases(text: str) -> tuple[str, ...]:
    """The entries of a list such as `dall-e-3=sdxl, gpt-image-1=my-dog@best`. Raises `ValueError`."""
    entries = tuple(each for each in re.split(r"[\s,]+", text) if each)
    for each in entries:
        alias, _, model = each.partition("=")
        if not _ALIAS.fullmatch(alias) or len(alias) > MAX_ALIAS_CHARACTERS:
            raise ValueError(f"{each!r} is no alias. Write name=model, such as dall-e-3={BASE_MODEL}.")
        if not re.fullmatch(MODEL_REFERENCE_PATTERN, model):
            raise ValueError(f"{each!r} names no model. Write {alias}={BASE_MODEL}, or a LoRA such as {alias}=my-dog.")
        if alias == BASE_MODEL:
            raise ValueError(f"{each!r} gives the name of the base model to another one. Choose another alias.")
    names = [each.partition("=")[0] for each in entries]
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        raise ValueError(f"{repeated!r} is an alias of two models. Keep one of them.")
    return entries


def as_mapping(entries: tuple[str, ...]) -> dict[str, str]:
    """The model of each alias."""
    return dict(each.split("=", 1) for each in entries)
