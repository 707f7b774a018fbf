"""Values of enums in query parameters, in whatever case they come. Used by jobs/parameters.py and the endpoints. Pure.

Only here: in YAML the API server compares the enums of the CRDs exactly. Specs, answers and the OpenAPI description
always have the canonical spelling.
"""

from enum import StrEnum
from typing import Any, get_args

from pydantic import BeforeValidator


def case_insensitive(enum: type[StrEnum]) -> BeforeValidator:
    """A validator that spells a text as the member of `enum` that equals it but for case.

    Other texts pass unchanged, to be refused by pydantic's own message, which lists the members. In a query `+` means
    a space, so `DPM++` arrives as `DPM  ` from everybody who does not escape it; that is read as `+` too.
    """
    canonical = {member.value.casefold(): member.value for member in enum}
    if len(canonical) != len(enum):
        raise ValueError(f"{enum.__name__} has members that differ in case only.")

    def spell(given: Any) -> Any:
        if not isinstance(given, str):
            return given
        folded = given.casefold()
        return canonical.get(folded) or canonical.get(folded.replace(" ", "+"), given)

    return BeforeValidator(spell)


def enum_of(annotation: Any) -> type[StrEnum] | None:
    """The enum of an annotation, optional or not; None when it has none."""
    for each in (annotation, *get_args(annotation)):
        if isinstance(each, type) and issubclass(each, StrEnum):
            return each
    return None
