"""`/healthz` and `/readyz`."""

from typing import Annotated

from fastapi import APIRouter, Query

from darkroom_gateway.errors import FieldError, NotReadyError
from darkroom_gateway.health.readiness import BackendName
from darkroom_gateway.health.schemas import Health, Readiness
from darkroom_gateway.http.case_insensitive import case_insensitive
from darkroom_gateway.http.problems import responses
from darkroom_gateway.services import ServicesOfApp

router = APIRouter(tags=["health"])

Tolerate = Annotated[
    list[Annotated[BackendName, case_insensitive(BackendName)]] | None,
    Query(
        description="Return 200 although this backend is down, if it has responded since the process started. May be "
        "repeated."
    ),
]
"""For readiness probes in Kubernetes. When object storage is down, it is down for every gateway: if all of them became
unready, requests that don't need it would fail too. But a gateway that has never reached it is probably misconfigured,
and must stop its rollout."""


@router.get("/healthz")
async def healthz() -> Health:
    """Liveness: the process is alive. Checks no backend, because a restart would not repair one."""
    return Health(status="ok")


@router.get("/readyz", responses=responses(422, 503))
async def readyz(services: ServicesOfApp, tolerate: Tolerate = None) -> Readiness:
    """Readiness: the cluster and object storage respond. A 503 names the one that does not, or says that the gateway is
    stopping."""
    if services.shutdown.begun.is_set():
        raise NotReadyError("The gateway is stopping. Send requests to another replica.")
    faults = await services.readiness.faults()
    tolerated = {each for each in tolerate or () if services.readiness.has_answered(each)}
    field_errors = tuple(FieldError(name, fault) for name, fault in sorted(faults.items()))
    if set(faults) - tolerated:
        raise NotReadyError(" ".join(each.message for each in field_errors), field_errors)
    return Readiness(status="degraded" if faults else "ready", checks={"cluster": "ok", "storage": "ok", **faults})
