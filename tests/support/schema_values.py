"""Hypothesis strategies of the objects that a structural schema of a CRD accepts."""

import string
from typing import Any

from hypothesis import strategies as st

Json = dict[str, Any]

MAX_ITEMS = 2
"""Longer lists and maps show nothing more."""
TEXT = string.ascii_letters + string.digits + ",.@äß猫"
PATTERN_TEXT = st.characters(min_codepoint=32, max_codepoint=126)


def values(schema: Json) -> st.SearchStrategy[Any]:
    """Any value. CEL rules may still refuse it."""
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if schema["type"] == "object":
        return _maps(schema) if isinstance(schema.get("additionalProperties"), dict) else _objects(schema)
    if schema["type"] == "array":
        longest = min(schema.get("maxItems", MAX_ITEMS), MAX_ITEMS)
        return st.lists(values(schema["items"]), min_size=schema.get("minItems", 0), max_size=longest)
    return {"string": _texts, "integer": _integers, "number": _numbers, "boolean": lambda _: st.booleans()}[
        schema["type"]
    ](schema)


def _objects(schema: Json) -> st.SearchStrategy[Any]:
    fields = {name: values(field) for name, field in schema.get("properties", {}).items()}
    required = set(schema.get("required", []))
    given = {name: strategy for name, strategy in fields.items() if name in required}
    return st.fixed_dictionaries(given, optional={name: fields[name] for name in fields.keys() - required})


def _maps(schema: Json) -> st.SearchStrategy[Any]:
    return st.dictionaries(
        st.text(TEXT, min_size=1, max_size=9), values(schema["additionalProperties"]), max_size=MAX_ITEMS
    )


def _texts(schema: Json) -> st.SearchStrategy[str]:
    longest = schema.get("maxLength", 100)
    if "pattern" not in schema:
        return st.text(TEXT, min_size=schema.get("minLength", 0), max_size=min(longest, 20)).map(
            lambda text: text or "a"
        )
    whole = schema["pattern"].removesuffix("$") + r"\Z"
    return st.from_regex(whole, alphabet=PATTERN_TEXT).filter(lambda text: len(text) <= longest)


def _integers(schema: Json) -> st.SearchStrategy[int]:
    step = schema.get("multipleOf", 1)
    return st.integers(-(-schema["minimum"] // step), schema["maximum"] // step).map(lambda number: int(number * step))


def _numbers(schema: Json) -> st.SearchStrategy[float]:
    return st.floats(schema["minimum"], schema["maximum"])
