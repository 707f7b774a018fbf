"""Checks the base models of requests against the model root, if it is mounted, and reads their native sizes there.
Called by both submission services and models/router.py.

Hub references can't be checked, because the gateway has no access to the hub; only their pattern is validated.
"""

import logging
from collections.abc import Iterable
from pathlib import Path

from darkroom_contract.base_models import (
    SDXL_PIPELINE,
    SVD_PIPELINE,
    native_side_px,
    unknown_model,
    unsuitable_model,
)
from darkroom_gateway.backends.calls import Backend
from darkroom_gateway.errors import FieldError, UnavailableError, invalid_request
from darkroom_gateway.models.schemas import BaseModelAnswer

log = logging.getLogger(__name__)

CHECK_SECONDS = 2.0
"""Timeout of a check: the model root may be on a network file system."""

CONCURRENT_CHECKS = 4


class BaseModelChecker:
    """Checks base models in the model root of the runners; accepts all if `root` is None."""

    def __init__(self, root: Path | None) -> None:
        self._root = root
        self._checks = Backend("The model root", CONCURRENT_CHECKS, lambda detail, _begun: UnavailableError(detail))

    async def require(self, base_model: str | None, video_base_model: str | None = None) -> None:
        """Raises `InvalidRequestError` for unknown base models, or ones of the wrong kind. None is the cluster's
        default.

        If the file system hangs, accepts all: the run will report it.
        """
        named = (("base_model", base_model, SDXL_PIPELINE), ("video_base_model", video_base_model, SVD_PIPELINE))
        if self._root is None or (base_model is None and video_base_model is None):
            return
        try:
            field_errors = await self._checks.call(CHECK_SECONDS, _field_errors, self._root, named)
        except UnavailableError as error:
            log.warning("base models were not checked: %s", error)
            return
        if field_errors:
            raise invalid_request(field_errors)

    async def describe(self, references: Iterable[str]) -> list[BaseModelAnswer]:
        """Each base model once, with the native size of those in the model root."""
        names = list(dict.fromkeys(references))
        sides: dict[str, int | None] = {}
        if self._root is not None:
            try:
                sides = await self._checks.call(CHECK_SECONDS, _native_sides, self._root, names)
            except UnavailableError as error:
                log.warning("sizes of base models were not read: %s", error)
        return [BaseModelAnswer(reference=name, native_px=sides.get(name)) for name in names]


def _native_sides(root: Path, references: Iterable[str]) -> dict[str, int | None]:
    return {name: native_side_px(name, root) for name in references}


def _field_errors(root: Path, named: Iterable[tuple[str, str | None, str]]) -> list[FieldError]:
    return [
        FieldError(parameter, fault, name)
        for parameter, name, pipeline in named
        if name is not None
        for fault in (unknown_model(name, root, pipeline), unsuitable_model(name, root, pipeline))
        if fault is not None
    ]
