"""`/healthz`, `/readyz`, and the root, which leads to the documentation."""

from collections.abc import Callable

import anyio
from anyio import to_thread
from fastapi import APIRouter
from fastapi.responses import RedirectResponse

from darkroom_gateway.answers import Health, Readiness
from darkroom_gateway.errors import Complaint, GatewayError, NotReadyError
from darkroom_gateway.problems import responses
from darkroom_gateway.services import ServicesOfApp

router = APIRouter(tags=["health"])


@router.get("/", include_in_schema=False)
async def root(services: ServicesOfApp) -> RedirectResponse:
    return RedirectResponse(services.root_path + "/docs")


@router.get("/healthz")
async def healthz() -> Health:
    """The process is there. Asks nobody else: restarting the gateway mends nothing that is down elsewhere."""
    return Health(status="ok")


@router.get("/readyz", responses=responses(503))
async def readyz(services: ServicesOfApp) -> Readiness:
    """Whether the cluster and object storage can be reached; 503 names which can't, or that the gateway ends."""
    if services.shutdown.begun.is_set():
        raise NotReadyError("The gateway is ending: others take its requests.")
    complaints: list[Complaint] = []

    async def check(name: str, door: Callable[[], None]) -> None:
        try:
            await to_thread.run_sync(door)
        except GatewayError as error:
            complaints.append(Complaint(name, str(error)))

    async with anyio.create_task_group() as group:
        group.start_soon(check, "cluster", services.cluster.check)
        group.start_soon(check, "storage", services.storage.check)
    if complaints:
        detail = " ".join(each.message for each in complaints)
        raise NotReadyError(detail, tuple(sorted(complaints, key=lambda each: each.parameter)))
    return Readiness(status="ready", checks={"cluster": "ok", "storage": "ok"})
