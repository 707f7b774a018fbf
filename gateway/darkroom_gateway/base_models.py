"""Base models that a request names, looked up in the model root where the gateway sees it. Called by two services.

A model of the hub can't be looked up: the gateway has no way there. Such a reference is checked by its pattern alone.
"""

from collections.abc import Iterator
from pathlib import Path

from darkroom_contract.base_models import SDXL_PIPELINE, SVD_PIPELINE, unknown_model, unsuitable_model
from darkroom_gateway.errors import Complaint, invalid_request


class BaseModels:
    """The model root of the deployment's runners, if it can be looked at from here."""

    def __init__(self, root: Path | None) -> None:
        self._root = root

    def require(self, base_model: str | None, video_base_model: str | None = None) -> None:
        """Raises `InvalidRequestError` for names that no run will find, or that are of the wrong kind. None is the
        cluster's default, which the operator knows."""
        named = (("base_model", base_model, SDXL_PIPELINE), ("video_base_model", video_base_model, SVD_PIPELINE))
        complaints = [
            Complaint(parameter, fault, name)
            for parameter, name, pipeline in named
            if name is not None
            for fault in self._faults(name, pipeline)
        ]
        if complaints:
            raise invalid_request(complaints)

    def _faults(self, name: str, pipeline: str) -> Iterator[str]:
        if self._root is None:
            return
        for fault in (unknown_model(name, self._root), unsuitable_model(name, self._root, pipeline)):
            if fault is not None:
                yield fault
