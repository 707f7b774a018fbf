"""The run document: a runner pod's whole input, in one environment variable."""

from typing import Self

from pydantic import Field

from darkroom_contract.names import Kind
from darkroom_contract.schema import Schema
from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_contract.specs.train_job import TrainJobSpec


class RunDocument(Schema):
    """One run of one job. Exactly one of `train` and `generate` is set.

    Base models are resolved by the operator: a job that names none gets the cluster's default.
    """

    namespace: str
    name: str
    uid: str
    attempt: int = Field(ge=1)
    base_model: str
    video_base_model: str
    train: TrainJobSpec | None = None
    generate: GenerateJobSpec | None = None
    traceparent: str | None = None
    """W3C Trace Context of the job's trace, to which the runner adds its spans."""

    @property
    def kind(self) -> Kind:
        return Kind.TRAIN if self.train is not None else Kind.GENERATE

    def to_json(self) -> str:
        return self.model_dump_json(by_alias=True, exclude_none=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Raises `ValueError` (of which `pydantic.ValidationError` is one) for an invalid run document."""
        document = cls.model_validate_json(text)
        if (document.train is None) == (document.generate is None):
            raise ValueError("a run document holds exactly one of train and generate")
        return document
