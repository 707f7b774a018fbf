#!/usr/bin/env bash
# kopf: an object that was deleted while the watch was interrupted gets no DELETED event, and stays in the index.
#
# Versions: kopf 1.45.2, aiohttp 3, Python 3.11, Linux.
# Guess:    after a 410 kopf lists again and compares, as client-go's informers do: what is gone from the list leaves the
#           index, and its handlers see a deletion.
# In fact:  the new list is only added to what is known. `on.event` handlers never hear of an object that was deleted in the
#           gap, and it stays in the index, also after the next 410. New and changed objects arrive.
# Output:   list before the first 410: a, b; lists after it and after a second one: a, c
#           index: a, b, c; events of the last list: a (None), c (None); DELETED events: none
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check kopf==1.45.2
cat > "$folder/try.py" <<'PYTHON'
import asyncio, json, logging

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
GONE = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 410, "reason": "Expired", "message": "too old"}
LISTS = [["a", "b"], ["a", "c"]]


def config_map(name):
    metadata = {"name": name, "namespace": "default", "uid": name, "resourceVersion": "1"}
    return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": metadata}


class Api:
    """Two watches end with a 410, as after a pause that is longer than the API server's history."""

    def __init__(self):
        self.lists = 0
        self.handled = [asyncio.Event() for _ in range(3)]

    async def handle(self, request):
        if request.path in DISCOVERY:
            return web.json_response(DISCOVERY[request.path])
        if not request.path.endswith("/configmaps"):
            metadata = {"resourceVersion": "1"}
            return web.json_response({"kind": "List", "apiVersion": "v1", "metadata": metadata, "items": []})
        if "watch" not in request.query:
            names = LISTS[min(self.lists, 1)]
            self.lists += 1
            metadata = {"resourceVersion": str(self.lists)}
            items = [config_map(name) for name in names]
            return web.json_response({"kind": "ConfigMapList", "apiVersion": "v1", "metadata": metadata, "items": items})
        stream = web.StreamResponse(headers={"Content-Type": "application/json"})
        await stream.prepare(request)
        if self.lists <= 2:
            await self.handled[self.lists - 1].wait()
            await stream.write(json.dumps({"type": "ERROR", "object": GONE}).encode() + b"\n")
            return stream
        await asyncio.sleep(60)
        return stream


async def main():
    api, events, indexed = Api(), [], {}
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", api.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    address = f"http://127.0.0.1:{runner.addresses[0][1]}"
    registry, settings, stop = kopf.OperatorRegistry(), kopf.OperatorSettings(), asyncio.Event()
    settings.posting.enabled = False
    settings.scanning.disabled = True
    kopf.on.login(registry=registry)(lambda **_: kopf.ConnectionInfo(server=address))

    @kopf.index("configmaps", id="known", registry=registry)
    def known(name, **_):
        return {name: None}

    @kopf.on.event("configmaps", registry=registry)
    async def on_event(name, type, known, **_):
        indexed["known"] = known
        events.append((api.lists, name, type))
        if {each[1] for each in events if each[0] == api.lists} >= set(LISTS[min(api.lists - 1, 1)]):
            api.handled[api.lists - 1].set()

    operator = asyncio.create_task(
        kopf.operator(registry=registry, settings=settings, standalone=True, clusterwide=True, stop_flag=stop)
    )
    await asyncio.wait_for(api.handled[2].wait(), 60)
    await asyncio.sleep(3)
    index = sorted(indexed["known"])
    after = sorted((name, type) for turn, name, type in events if turn == 3)
    deleted = [name for _, name, type in events if type == "DELETED"]
    stop.set()
    await operator
    await runner.cleanup()
    last = ", ".join(f"{name} ({type})" for name, type in after)
    print(f"list before the first 410: {', '.join(LISTS[0])}; lists after it and after a second one: {', '.join(LISTS[1])}")
    print(f"index: {', '.join(index)}; events of the last list: {last}; DELETED events: {', '.join(deleted) or 'none'}")
    assert index == ["a", "b", "c"], index
    assert after == [("a", None), ("c", None)], after
    assert not deleted, deleted


logging.disable(logging.CRITICAL)
asyncio.run(main())
PYTHON
"$folder/venv/bin/python" "$folder/try.py"
