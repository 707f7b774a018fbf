"""Base models that a request names, looked up in the model root where the gateway sees it. Called by two services.

A model of the hub can't be looked up: the gateway has no way there. Such a reference is checked by its pattern alone.
"""

import logging
from collections.abc import Iterable
from pathlib import Path

from darkroom_contract.base_models import SDXL_PIPELINE, SVD_PIPELINE, unknown_model, unsuitable_model
from darkroom_gateway.backends.calls import Backend
from darkroom_gateway.errors import FieldError, UnavailableError, invalid_request

log = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
"""The model root may be a network's file system."""

LOOKS_AT_ONCE = 4


class BaseModelChecker:
    """The model root of the deployment's runners, if it can be looked at from here."""

    def __init__(self, root: Path | None) -> None:
        self._root = root
        self._looks = Backend("The model root", LOOKS_AT_ONCE, lambda detail, _begun: UnavailableError(detail))

    async def require(self, base_model: str | None, video_base_model: str | None = None) -> None:
        """Raises `InvalidRequestError` for names that no run will find, or that are of the wrong kind. None is the
        cluster's default, which the operator knows.

        A file system that stands still refuses nothing: the run will tell.
        """
        named = (("base_model", base_model, SDXL_PIPELINE), ("video_base_model", video_base_model, SVD_PIPELINE))
        if self._root is None or (base_model is None and video_base_model is None):
            return
        try:
            field_errors = await self._looks.call(LOOK_SECONDS, _complaints, self._root, named)
        except UnavailableError as error:
            log.warning("base models were not looked up: %s", error)
            return
        if field_errors:
            raise invalid_request(field_errors)


def _complaints(root: Path, named: Iterable[tuple[str, str | None, str]]) -> list[FieldError]:
    return [
        FieldError(parameter, fault, name)
        for parameter, name, pipeline in named
        if name is not None
        for fault in (unknown_model(name, root), unsuitable_model(name, root, pipeline))
        if fault is not None
    ]
