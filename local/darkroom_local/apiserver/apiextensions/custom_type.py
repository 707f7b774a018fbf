"""The schema and rules of one version of a custom kind. Pure; `resources/definitions.py` creates it."""

from dataclasses import dataclass

from darkroom_local.apiserver.apiextensions.cel_rules import MISSING, RuleNode
from darkroom_local.apiserver.apiextensions.structural_schema import StructuralSchema
from darkroom_local.apiserver.apimachinery.errors import Cause
from darkroom_local.apiserver.apimachinery.unstructured import Json

VISIBLE_METADATA = ("name", "generateName")
"""https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation-rules"""


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
        return list(self.rules.validate(_visible(document), MISSING if old is None else _visible(old)))


def _visible(document: Json) -> Json:
    """What rules see of an object: of its metadata the names only, as in Kubernetes."""
    metadata = document["metadata"]
    return document | {"metadata": {name: metadata[name] for name in VISIBLE_METADATA if name in metadata}}
