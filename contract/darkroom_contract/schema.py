"""Base class of the contract's models: camelCase in YAML and JSON, snake_case in Python."""

import math
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict
from pydantic.alias_generators import to_camel


class Schema(BaseModel):
    """Frozen, with camelCase aliases; unknown fields are ignored.

    The API server, which has the current schema, refuses unknown fields. A program that is older than the CRDs (during
    an upgrade) must still be able to read the job.
    """

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore")

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Self:
        """Read a Kubernetes-style document. Raises `pydantic.ValidationError`."""
        return cls.model_validate(document)

    def to_dict(self) -> dict[str, Any]:
        """The document in Kubernetes' form: camelCase, plain types, without None."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def printable(text: str) -> str:
    """A text without control characters and lone surrogates, which no UTF-8 holds. White space becomes a blank."""
    return "".join(each if each.isprintable() else " " if each.isspace() else "?" for each in text)


PrintableText = Annotated[str, BeforeValidator(lambda text: printable(text) if isinstance(text, str) else text)]
"""Text for people that may quote a file or a library."""


def _finite(metrics: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if math.isfinite(value)}


Metrics = Annotated[dict[str, float], AfterValidator(_finite)]
"""Numbers by name, without NaN and infinity, which JSON does not have."""
