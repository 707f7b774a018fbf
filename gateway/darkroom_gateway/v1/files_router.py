"""`/v1/jobs/{id}/files`: the files of a job's runs, as at `/jobs/{task_id}/files`, with presigned links in the list."""

from fastapi import APIRouter
from fastapi.responses import RedirectResponse

from darkroom_gateway.http.problems import responses
from darkroom_gateway.jobs.dependencies import JobIdInPath, KindInQuery
from darkroom_gateway.jobs.router import REDIRECT, FileName, Step
from darkroom_gateway.services import Services, ServicesOfApp
from darkroom_gateway.v1.schemas import V1RunFile, V1RunFileList
from darkroom_gateway.v1.serializers import PATH

router = APIRouter(tags=["jobs"])

FILES = PATH + "/{id}/files"


@router.get(FILES, responses=responses(404, 409, 422, 503))
async def list_v1_job_files(job_id: JobIdInPath, services: ServicesOfApp, kind: KindInQuery = None) -> V1RunFileList:
    """The files of a job that can be read now: its artifacts; finished pictures of a generation that has not succeeded;
    and the sample images and saved steps of a training."""
    found = await services.v1.run_files.linked(job_id, kind)
    files = [V1RunFile(**file.model_dump(), link=link.url, expires=link.expires) for file, link in found]
    return V1RunFileList(files=files)


@router.get(FILES + "/{name}", status_code=307, response_class=RedirectResponse, responses=REDIRECT)
async def v1_job_file(
    job_id: JobIdInPath, name: FileName, services: ServicesOfApp, kind: KindInQuery = None
) -> RedirectResponse:
    """An artifact of a job that has succeeded, or a picture that a generation has finished before its end."""
    return await _redirect(services, job_id, kind, name)


@router.get(FILES + "/samples/{name}", status_code=307, response_class=RedirectResponse, responses=REDIRECT)
async def v1_job_sample(
    job_id: JobIdInPath, name: FileName, services: ServicesOfApp, kind: KindInQuery = None
) -> RedirectResponse:
    """A sample image of a training, also while it runs."""
    return await _redirect(services, job_id, kind, f"samples/{name}")


@router.get(FILES + "/steps/{step}/{name}", status_code=307, response_class=RedirectResponse, responses=REDIRECT)
async def v1_job_step_file(
    job_id: JobIdInPath, step: Step, name: FileName, services: ServicesOfApp, kind: KindInQuery = None
) -> RedirectResponse:
    """The LoRA of a saved step, or of the best one, also while the training runs."""
    return await _redirect(services, job_id, kind, f"steps/{step}/{name}")


async def _redirect(services: Services, job_id: str, kind: KindInQuery, path: str) -> RedirectResponse:
    return RedirectResponse(await services.v1.run_files.link(job_id, kind, path), status_code=307)
