"""Defaults and bounds of a schema as text, for `kubectl explain`, which prints descriptions only.

Works on structural schemas, as definitions.py makes them.
"""

from typing import Any

Json = dict[str, Any]


def default_text(schema: Json) -> str:
    """The default as YAML has it; empty when there is none to show."""
    default = schema.get("default")
    if default in (None, {}):
        return ""
    if default in ("", []):
        return "empty"
    if isinstance(default, bool):
        return str(default).lower()
    return default if isinstance(default, str) else _number(default)


def bounds_text(schema: Json) -> str:
    """The values that a field takes, such as `1 to 200` or `at most 63 characters`; empty when the type says enough."""
    if "enum" in schema:
        return ", ".join(schema["enum"])
    words = []
    if {"minimum", "maximum"} <= schema.keys():
        words.append(f"{_number(schema['minimum'])} to {_number(schema['maximum'])}")
    elif "minimum" in schema:
        words.append(f"{_number(schema['minimum'])} or more")
    if "multipleOf" in schema:
        words.append(f"in multiples of {_number(schema['multipleOf'])}")
    if "maxLength" in schema:
        words.append(f"at most {schema['maxLength']} characters")
    if "maxItems" in schema:
        words.append(f"at most {schema['maxItems']} entries")
    if "maxProperties" in schema:
        words.append(f"at most {schema['maxProperties']} entries")
    return ", ".join(words)


def with_bounds_described(schema: Json) -> Json:
    """The schema with each field's default and bounds at the end of its description, at every depth."""
    described = {**schema}
    if "properties" in schema:
        described["properties"] = {name: with_bounds_described(each) for name, each in schema["properties"].items()}
    for key in ("items", "additionalProperties"):
        if key in schema:
            described[key] = with_bounds_described(schema[key])
    if "description" in schema:
        described["description"] = " ".join([schema["description"], *_sentences(schema)])
    return described


def _sentences(schema: Json) -> list[str]:
    default = default_text(schema)
    # kubectl prints the values of an enum by itself.
    bounds = "" if "enum" in schema else bounds_text(schema)
    return [f"Default: {default}."] * bool(default) + [f"Takes {bounds}."] * bool(bounds)


def _number(value: float) -> str:
    """`1e-08` stays short; whole numbers have no point, however large."""
    return str(int(value)) if value == int(value) else f"{value:g}"
