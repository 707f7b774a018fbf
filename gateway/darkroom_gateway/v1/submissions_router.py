"""`POST /v1/train-jobs`, `POST /v1/generate-jobs` and `POST /v1/uploads`."""

from fastapi import APIRouter, Request, Response

from darkroom_gateway.http.problems import responses
from darkroom_gateway.jobs.dependencies import SubmitterOfRequest
from darkroom_gateway.services import ServicesOfApp
from darkroom_gateway.v1.bodies import parse_model, read_object
from darkroom_gateway.v1.job_responses import ACCEPTED, accepted_response
from darkroom_gateway.v1.openapi_bodies import GENERATE_BODY, TRAIN_BODY, UPLOAD_BODY
from darkroom_gateway.v1.parameters import Prefer
from darkroom_gateway.v1.schemas import V1Job
from darkroom_gateway.v1.upload_schemas import NewUpload, UploadAnswer

router = APIRouter()

TRAIN_PATH, GENERATE_PATH, UPLOADS_PATH = "/v1/train-jobs", "/v1/generate-jobs", "/v1/uploads"


@router.post(
    TRAIN_PATH,
    status_code=202,
    response_model=V1Job,
    responses=ACCEPTED,
    openapi_extra=TRAIN_BODY,
    tags=["train"],
)
async def create_train_job(
    request: Request, services: ServicesOfApp, submitter: SubmitterOfRequest, prefer: Prefer = None
) -> Response:
    """Learn a subject from photos. The body is the spec of a TrainJob, or a form with it and the photos.

    Without photos in the form, `dataset.uri` names a folder in object storage, or an upload of `POST /v1/uploads`.
    """
    job = await services.v1.submissions.train(request, submitter)
    return await accepted_response(services, job, request, prefer)


@router.post(
    GENERATE_PATH,
    status_code=202,
    response_model=V1Job,
    responses=ACCEPTED,
    openapi_extra=GENERATE_BODY,
    tags=["generate"],
)
async def create_generate_job(
    request: Request, services: ServicesOfApp, submitter: SubmitterOfRequest, prefer: Prefer = None
) -> Response:
    """Generate pictures, with or without LoRAs. The body is the spec of a GenerateJob, or a form with it and pictures.

    If a model is still being trained, the job waits behind the training."""
    job = await services.v1.submissions.generate(request, submitter)
    return await accepted_response(services, job, request, prefer)


@router.post(
    UPLOADS_PATH,
    status_code=201,
    response_model=UploadAnswer,
    responses=responses(413, 422, 503),
    openapi_extra=UPLOAD_BODY,
    tags=["train"],
)
async def create_upload(request: Request, services: ServicesOfApp) -> UploadAnswer:
    """Links to upload the photos of a training straight to object storage. Name the dataset in a submission then, which
    checks the photos. An upload is removed a day after its last file."""
    return await services.v1.uploads.begin(parse_model(NewUpload, await read_object(request)).files)
