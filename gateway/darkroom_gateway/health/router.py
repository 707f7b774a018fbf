"""`/healthz`, `/readyz`, and the root, which leads to the documentation."""

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import RedirectResponse

from darkroom_gateway.errors import FieldError, NotReadyError
from darkroom_gateway.health.readiness import BackendName
from darkroom_gateway.http.case_insensitive import case_insensitive
from darkroom_gateway.http.problems import responses
from darkroom_gateway.jobs.schemas import Health, Readiness
from darkroom_gateway.services import ServicesOfApp

router = APIRouter(tags=["health"])

Tolerate = Annotated[
    list[Annotated[BackendName, case_insensitive(BackendName)]] | None,
    Query(
        description="Answer 200 although this one is down, if it has answered once since the process started. May be "
        "given several times."
    ),
]
"""For the readiness probe of a cluster. When object storage is down it is down for every gateway: were all of them
taken out of their Service, then status, lists and submissions that don't need it would fail too. But a gateway that
never reached it has a wrong setting, and must stop the rollout that brings it."""


@router.get("/", include_in_schema=False)
async def root(services: ServicesOfApp) -> RedirectResponse:
    return RedirectResponse(services.root_path + "/docs")


@router.get("/healthz")
async def healthz() -> Health:
    """The process is there. Asks nobody else: restarting the gateway mends nothing that is down elsewhere."""
    return Health(status="ok")


@router.get("/readyz", responses=responses(422, 503))
async def readyz(services: ServicesOfApp, tolerate: Tolerate = None) -> Readiness:
    """Whether the cluster and object storage answer; 503 names which doesn't, or that the gateway ends."""
    if services.shutdown.begun.is_set():
        raise NotReadyError("The gateway is ending: others take its requests.")
    faults = await services.readiness.faults()
    tolerated = {each for each in tolerate or () if services.readiness.has_answered(each)}
    field_errors = tuple(FieldError(name, fault) for name, fault in sorted(faults.items()))
    if set(faults) - tolerated:
        raise NotReadyError(" ".join(each.message for each in field_errors), field_errors)
    return Readiness(status="degraded" if faults else "ready", checks={"cluster": "ok", "storage": "ok", **faults})
