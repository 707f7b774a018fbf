"""The CRD's schema of a status, as an API server applies it."""

import copy
from typing import Any

from darkroom_contract.crd.definitions import definition
from darkroom_contract.names import Kind
from darkroom_contract.status import JobStatus
from darkroom_local.apiserver.apiextensions.structural_schema import StructuralSchema

[_VERSION] = definition(Kind.GENERATE)["spec"]["versions"]
SCHEMA = StructuralSchema(_VERSION["schema"]["openAPIV3Schema"]["properties"]["status"])


def faults(document: dict[str, Any]) -> list[str]:
    """What the schema finds wrong, and what it does not know."""
    return [str(cause) for cause in SCHEMA.validate(document)] + SCHEMA.prune(copy.deepcopy(document))


def require_valid(status: JobStatus) -> JobStatus:
    """The status as it is read again after the API server has stored it: equal, or the operator would write forever."""
    document = status.to_dict()
    assert faults(document) == []
    assert JobStatus.from_dict(document) == status
    return status
