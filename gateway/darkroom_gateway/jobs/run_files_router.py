"""`/jobs/{task_id}/files`: the files of a job's runs, also while it runs.

One route for each kind of path, because a path parameter of OpenAPI contains no slash.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Path
from fastapi.responses import RedirectResponse

from darkroom_gateway.http.problems import responses
from darkroom_gateway.jobs.dependencies import KindInQuery, TaskIdInPath
from darkroom_gateway.jobs.run_file_paths import FILE_NAME_PATTERN, STEP_PATTERN
from darkroom_gateway.jobs.schemas import RunFileList
from darkroom_gateway.services import Services, ServicesOfApp

router = APIRouter(tags=["jobs"])

FileName = Annotated[
    str,
    Path(pattern=FILE_NAME_PATTERN, description="The name of a file.", examples=["train-k3x9q2m7ab-step-00100-0.png"]),
]
Step = Annotated[
    str, Path(pattern=STEP_PATTERN, description="A saved step, or best for the best one.", examples=["100", "best"])
]

_REDIRECT: dict[int | str, dict[str, Any]] = {
    307: {
        "description": "Redirects to a presigned link, which downloads the file without credentials.",
        "headers": {
            "Location": {
                "description": "The presigned link. It is valid for a limited time: request this address again.",
                "required": True,
                "schema": {"type": "string"},
            }
        },
    },
    **responses(404, 409, 422, 503),
}


@router.get("/jobs/{task_id}/files", responses=responses(404, 409, 422, 503))
async def list_job_files(task_id: TaskIdInPath, services: ServicesOfApp, kind: KindInQuery = None) -> RunFileList:
    """The files of a job that can be read now: its artifacts, and the sample images and saved steps of a training."""
    return await services.run_files.list(task_id, kind)


@router.get("/jobs/{task_id}/files/{name}", status_code=307, response_class=RedirectResponse, responses=_REDIRECT)
async def job_file(
    task_id: TaskIdInPath, name: FileName, services: ServicesOfApp, kind: KindInQuery = None
) -> RedirectResponse:
    """An artifact of a job that has succeeded."""
    return await _redirect(services, task_id, kind, name)


@router.get(
    "/jobs/{task_id}/files/samples/{name}", status_code=307, response_class=RedirectResponse, responses=_REDIRECT
)
async def job_sample(
    task_id: TaskIdInPath, name: FileName, services: ServicesOfApp, kind: KindInQuery = None
) -> RedirectResponse:
    """A sample image of a training, also while it runs."""
    return await _redirect(services, task_id, kind, f"samples/{name}")


@router.get(
    "/jobs/{task_id}/files/steps/{step}/{name}", status_code=307, response_class=RedirectResponse, responses=_REDIRECT
)
async def job_step_file(
    task_id: TaskIdInPath, step: Step, name: FileName, services: ServicesOfApp, kind: KindInQuery = None
) -> RedirectResponse:
    """The LoRA of a saved step, or of the best one, also while the training runs."""
    return await _redirect(services, task_id, kind, f"steps/{step}/{name}")


async def _redirect(services: Services, task_id: str, kind: KindInQuery, path: str) -> RedirectResponse:
    return RedirectResponse(await services.run_files.link(task_id, kind, path), status_code=307)
