"""Parameters and answers that take their fields from the contract's models, under snake_case names.

Used by the schemas and parameters of all features, so that no bound, default or description is written twice.
"""

import copy
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticUndefined

from darkroom_gateway.http.case_insensitive import case_insensitive, enum_of

BOUNDS = frozenset({"maxLength", "minLength", "pattern", "minimum", "maximum", "maxItems", "maxProperties"})
"""JSON Schema keywords that restrict input. Answers are described by their types alone."""


def parameter(
    model: type[BaseModel],
    name: str,
    *examples: str,
    optional: bool = False,
    required: bool = False,
    description: str | None = None,
) -> Any:
    """The contract's field as a query parameter, with its bounds, default and description.

    Enum values are accepted in any case. `description` replaces the field's.
    """
    field = copy.copy(model.model_fields[name])
    if enum := enum_of(field.annotation):
        field.metadata = [case_insensitive(enum), *field.metadata]
    field.alias = field.validation_alias = field.serialization_alias = None
    field.examples = list(examples) or None
    field.description = description or field.description
    if optional:
        field.default = None
    if required:
        field.default, field.annotation = PydanticUndefined, _without_none(field.annotation)
    return field


def _without_none(annotation: Any) -> Any:
    [only] = [each for each in get_args(annotation) if each is not type(None)]
    return only


def _unbounded(schema: dict[str, Any]) -> None:
    """Reduce a JSON Schema to types and descriptions. Fields with a default are always present in an answer."""
    fields = schema["properties"]
    always_present = {name for name, field in fields.items() if field.pop("default", None) is not None}
    schema["required"] = [name for name in fields if name in always_present.union(schema.get("required", ()))]
    for field in fields.values():
        for each in (field, *field.get("anyOf", ()), field.get("additionalProperties")):
            if isinstance(each, dict):
                for keyword in BOUNDS & each.keys():
                    del each[keyword]
        if "additionalProperties" in field:
            field["additionalProperties"] = {"type": field["additionalProperties"]["type"]}


AS_ANSWER = ConfigDict(alias_generator=lambda name: name, json_schema_extra=_unbounded)
"""Config of a subclass of a contract model that is a part of an answer: snake_case in JSON and in OpenAPI."""
