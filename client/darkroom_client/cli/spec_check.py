"""Refuses specs that the gateway would refuse, before photos are sent. Called by submitting.py.

`--set` and `--spec` may name any field. One that this version's contract lacks is left to the gateway, which may be
newer, unless a field of the contract has a similar name.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from darkroom_client.errors import FieldProblem, InvalidSpecError
from darkroom_client.submissions import check_json, merged

if TYPE_CHECKING:
    from darkroom_contract.json_documents import FieldFault

_PLACEHOLDER = "s3://placeholder/files/"
_FILES: dict[str, dict[str, Any]] = {
    "photos": {"dataset": {"uri": _PLACEHOLDER}},
    "image": {"startImage": {"uri": f"{_PLACEHOLDER}image.png"}},
    "mask": {"mask": {"uri": f"{_PLACEHOLDER}mask.png"}},
    "video_image": {"video": {"startImage": {"uri": f"{_PLACEHOLDER}image.png"}}},
}
"""Fields that the gateway fills in from the files of the form."""


def check_training(spec: Mapping[str, Any], *, has_photos: bool) -> None:
    """Raises `InvalidSpecError`."""
    from darkroom_contract.specs.train_job import TrainJobSpec

    _check(TrainJobSpec, spec, ("photos",) if has_photos else ())


def check_generation(spec: Mapping[str, Any], files: Iterable[str]) -> None:
    """`files`: names of those that are sent: image, mask, video_image. Raises `InvalidSpecError`."""
    from darkroom_contract.specs.generate_job import GenerateJobSpec

    _check(GenerateJobSpec, spec, files)


def _check(model: Any, spec: Mapping[str, Any], files: Iterable[str]) -> None:
    from darkroom_contract.json_documents import DocumentInvalidError, parse_document

    check_json(spec)
    document = merged(spec, *(_FILES[name] for name in files))
    try:
        contradiction = parse_document(model, document).contradiction
    except DocumentInvalidError as error:
        problems = [_problem(each) for each in error.faults if not each.may_be_newer]
        if problems:
            raise InvalidSpecError(problems) from None
        return
    if contradiction is not None:
        raise InvalidSpecError([], contradiction)


def _problem(fault: "FieldFault") -> FieldProblem:
    return FieldProblem(fault.field, fault.message, fault.given)
