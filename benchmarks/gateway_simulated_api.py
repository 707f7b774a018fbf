"""An API server with any number of finished jobs that never change, for the gateway alone. Used by gateway_pages.py.

    python benchmarks/gateway_simulated_api.py --port 8001 --jobs 100000

Half of the jobs are trainings. It makes each page of a list when it is asked for it, because storing a hundred thousand
jobs in the embedded API server would take minutes. Each watch ends after its timeout without a change.
"""

import argparse
import asyncio
from typing import Any

import uvicorn
from gateway_jobs import job
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from darkroom_contract.names import API_VERSION, GROUP, VERSION, Kind

Json = dict[str, Any]

MAX_PAGE = 500


class SimulatedApi:
    """Lists and watches of both kinds."""

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs

    def routes(self) -> list[Route]:
        # A kubeconfig of the embedded API server has its token in the path.
        path = f"/{{token}}/apis/{GROUP}/{VERSION}/namespaces/{{namespace}}/"
        return [Route(path + kind.plural, self._endpoint(kind)) for kind in Kind]

    def _endpoint(self, kind: Kind) -> Any:
        async def answer(request: Request) -> Response:
            query = request.query_params
            if query.get("watch", "").lower() == "true":
                return StreamingResponse(_silence(float(query.get("timeoutSeconds", "1"))))
            numbers = [] if query.get("labelSelector") else range(list(Kind).index(kind), self._jobs, len(Kind))
            begin, limit = int(query.get("continue") or 0), min(MAX_PAGE, int(query.get("limit") or MAX_PAGE))
            metadata: Json = {"resourceVersion": str(self._jobs)}
            if begin + limit < len(numbers):
                metadata["continue"] = str(begin + limit)
            items = [self._job(kind, number) for number in numbers[begin : begin + limit]]
            return JSONResponse(
                {"apiVersion": API_VERSION, "kind": f"{kind.value}List", "metadata": metadata, "items": items}
            )

        return answer

    @staticmethod
    def _job(kind: Kind, number: int) -> Json:
        document = job(kind, f"{kind.singular}-{number:06d}", number, ended=True)
        document["metadata"]["resourceVersion"] = str(number + 1)
        return document


async def _silence(seconds: float) -> Any:
    await asyncio.sleep(seconds)
    yield b""


async def _ready(_: Request) -> Response:
    return Response("ok")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--jobs", type=int, required=True)
    options = parser.parse_args()
    app = Starlette(routes=[*SimulatedApi(options.jobs).routes(), Route("/readyz", _ready)])
    uvicorn.run(app, port=options.port, access_log=False, log_config=None)


if __name__ == "__main__":
    main()
