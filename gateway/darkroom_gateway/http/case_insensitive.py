"""Case-insensitive enum values in query parameters. Pure.

Only in query parameters: the API server compares the enums of the CRDs exactly. Specs, responses and the OpenAPI
document always have the canonical spelling.
"""

from enum import StrEnum
from typing import Any, get_args

from pydantic import BeforeValidator


def case_insensitive(enum: type[StrEnum]) -> BeforeValidator:
    """A validator that replaces a string by the member of `enum` that equals it case-insensitively.

    Other strings pass unchanged, so that pydantic rejects them with a list of the members. In a query `+` means a
    space, so an unescaped `DPM++` arrives as `DPM  `; spaces are tried as `+` too.
    """
    canonical = {member.value.casefold(): member.value for member in enum}
    if len(canonical) != len(enum):
        raise ValueError(f"{enum.__name__} has members that differ only in case.")

    def normalize(given: Any) -> Any:
        if not isinstance(given, str):
            return given
        folded = given.casefold()
        return canonical.get(folded) or canonical.get(folded.replace(" ", "+"), given)

    return BeforeValidator(normalize)


def enum_of(annotation: Any) -> type[StrEnum] | None:
    """The enum of an annotation, optional or not; None when there is none."""
    for each in (annotation, *get_args(annotation)):
        if isinstance(each, type) and issubclass(each, StrEnum):
            return each
    return None
