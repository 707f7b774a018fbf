#!/usr/bin/env bash
# kopf: an ERROR event within a watch ends the whole operator; the same error as the answer to a request is retried.
#
# Versions: kopf 1.45.2, aiohttp 3, Python 3.11, Linux.
# Guess:    kopf retries what API servers say in passing (500, 503, 504, 429), wherever they say it; a watch that ends
#           with an ERROR event is begun anew, as client-go's reflector does with every error.
# Seen:     only 410 is followed by a new list. Any other code in an ERROR event raises WatchingError out of
#           kopf.operator(): handlers of all kinds stop, and the process exits unless something restarts it. The same
#           code as the HTTP status of the watch's answer is retried.
# Output:   410 as an ERROR event: runs on
#           500 as an ERROR event: ended with WatchingError
#           504 as an ERROR event: ended with WatchingError
#           429 as an ERROR event: ended with WatchingError
#           500 as the HTTP status: runs on
#           504 as the HTTP status: runs on
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check kopf==1.45.2
cat > "$folder/try.py" <<'PYTHON'
import asyncio, json, logging, sys

import kopf
from aiohttp import web

VERBS = ["get", "list", "watch", "patch"]


def kind(plural, name, namespaced):
    return {"name": plural, "singularName": name.lower(), "namespaced": namespaced, "kind": name, "verbs": VERBS}


RESOURCES = [kind("namespaces", "Namespace", False), kind("configmaps", "ConfigMap", True)]
DISCOVERY = {
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
    "/api/v1": {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "v1", "resources": RESOURCES},
}


class Api:
    """Its first watch meets an error; the second one, if there is one, goes on quietly."""

    def __init__(self, code, in_stream):
        self.status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": "in passing"}
        self.in_stream = in_stream
        self.watches = 0
        self.second_watch = asyncio.Event()

    async def handle(self, request):
        if request.path in DISCOVERY:
            return web.json_response(DISCOVERY[request.path])
        if "watch" not in request.query:
            return web.json_response({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": []})
        self.watches += 1
        if self.watches == 1 and not self.in_stream:
            return web.json_response(self.status, status=self.status["code"])
        stream = web.StreamResponse(headers={"Content-Type": "application/json"})
        await stream.prepare(request)
        if self.watches == 1:
            await stream.write(json.dumps({"type": "ERROR", "object": self.status}).encode() + b"\n")
            return stream
        self.second_watch.set()
        await asyncio.sleep(60)
        return stream


async def what_happens(code, in_stream):
    api = Api(code, in_stream)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", api.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    address = f"http://127.0.0.1:{runner.addresses[0][1]}"
    registry, settings, stop = kopf.OperatorRegistry(), kopf.OperatorSettings(), asyncio.Event()
    settings.posting.enabled = False
    settings.scanning.disabled = True
    kopf.on.login(registry=registry)(lambda **_: kopf.ConnectionInfo(server=address))
    kopf.on.event("configmaps", registry=registry)(lambda **_: None)
    operator = asyncio.create_task(
        kopf.operator(registry=registry, settings=settings, standalone=True, clusterwide=True, stop_flag=stop)
    )
    watching = asyncio.create_task(api.second_watch.wait())
    await asyncio.wait([operator, watching], timeout=30, return_when=asyncio.FIRST_COMPLETED)
    ended = operator.done()
    stop.set()
    watching.cancel()
    [result] = await asyncio.gather(operator, return_exceptions=True)
    await runner.cleanup()
    return f"ended with {type(result).__name__}" if ended else "runs on" if api.watches > 1 else "does nothing"


async def main():
    expected = {(410, True): "runs on", (500, False): "runs on", (504, False): "runs on"}
    as_expected = True
    for code, in_stream in [(410, True), (500, True), (504, True), (429, True), (500, False), (504, False)]:
        seen = await what_happens(code, in_stream)
        print(f"{code} as {'an ERROR event' if in_stream else 'the HTTP status'}: {seen}", flush=True)
        as_expected &= seen == expected.get((code, in_stream), "ended with WatchingError")
    return 0 if as_expected else 1


logging.disable(logging.CRITICAL)
sys.exit(asyncio.run(main()))
PYTHON
"$folder/venv/bin/python" "$folder/try.py"
