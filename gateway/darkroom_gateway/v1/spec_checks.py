"""Rejects specs whose fields contradict each other or have no effect, as the query forms do. Called by
v1/submissions.py. Pure."""

import re

from darkroom_contract.names import Kind
from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_gateway.errors import FieldError, invalid_request
from darkroom_gateway.generation.parameters import LoraParameters
from darkroom_gateway.generation.unused_parameters import reject_unused_parameters
from darkroom_gateway.jobs.submission import Spec
from darkroom_gateway.training.contradictions import reject_without_effect
from darkroom_gateway.training.parameters import TrainParameters
from darkroom_gateway.v1.field_names import GENERATE_PATHS, TRAIN_PATHS, in_fields, parameters_of

_FIRST_FIELD = re.compile(r"(?:Each of )?([a-z]\w*(?:\.\w+)*)")


def reject_faults(spec: Spec) -> None:
    """Raises `InvalidRequestError`, which names fields."""
    if (contradiction := spec.contradiction) is not None:
        raise invalid_request([FieldError(_field_of(contradiction), contradiction)])
    if isinstance(spec, TrainJobSpec):
        with in_fields(Kind.TRAIN):
            reject_without_effect(parameters_of(spec, TrainParameters, TRAIN_PATHS), spec)
    else:
        with in_fields(Kind.GENERATE):
            reject_unused_parameters(parameters_of(spec, LoraParameters, GENERATE_PATHS), spec)


def _field_of(contradiction: str) -> str:
    """The field with which a message of the contract begins; `spec` for one about the whole."""
    found = _FIRST_FIELD.match(contradiction)
    return "spec" if found is None else found[1]
