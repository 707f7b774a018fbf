"""Answers to polls: JSON that is ready, past FastAPI's checks of what endpoints return."""

from fastapi import Response

from darkroom_contract.names import Kind
from darkroom_gateway.job_answers import say_stale
from darkroom_gateway.services import Services


async def answer_with_files(task_id: str, kind: Kind, services: Services) -> Response:
    """The job with its files. Raises what `Jobs.look_up` and `JobAnswers.with_files` raise."""
    stored = await services.jobs.look_up(task_id, kind)
    return json_response(say_stale(await services.job_answers.with_files(stored), services.informer.lost))


def json_response(body: bytes) -> Response:
    return Response(body, media_type="application/json")
