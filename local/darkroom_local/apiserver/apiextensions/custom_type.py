"""The schema and rules of one version of a custom kind. Pure; `resources/definitions.py` creates it."""

from dataclasses import dataclass

from darkroom_local.apiserver.apiextensions.cel_rules import MISSING, RuleNode
from darkroom_local.apiserver.apiextensions.structural_schema import StructuralSchema
from darkroom_local.apiserver.apimachinery.errors import Cause
from darkroom_local.apiserver.apimachinery.unstructured import Json


@dataclass(frozen=True)
class CustomType:
    """One version of a custom kind."""

    schema: Json
    columns: list[Json]
    structural: StructuralSchema
    rules: RuleNode | None

    def validate(self, document: Json, old: Json | None) -> list[Cause]:
        """Violations of the schema or, when there are none, of the CEL rules, which require correct types."""
        if causes := self.structural.validate(document):
            return causes
        if self.rules is None:
            return []
        return list(self.rules.validate(document, MISSING if old is None else old))
