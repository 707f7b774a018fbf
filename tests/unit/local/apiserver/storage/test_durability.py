"""A killed server loses no acknowledged write, and continues after a restart."""

import threading
from collections.abc import Callable

import httpx
from support.kube_api import Api, ApiServer, Json, ok, refused, wait_until

WRITERS = 4
KILLS = 3


class Writer(threading.Thread):
    """Writes config maps until the server stops, and records the acknowledged ones."""

    def __init__(self, api: Api, prefix: str) -> None:
        super().__init__()
        self._api, self._prefix = api, prefix
        self.acknowledged: dict[str, Json] = {}

    def run(self) -> None:
        number = 0
        try:
            while True:
                name = f"{self._prefix}-{number // 2}"
                if number % 2 == 0:
                    answer = self._api.create("configmaps", {"metadata": {"name": name}, "data": {"v": str(number)}})
                else:
                    answer = self._api.patch("configmaps", name, {"data": {"v": str(number)}})
                if answer.status_code in (200, 201):
                    self.acknowledged[name] = answer.json()
                number += 1
        except httpx.TransportError:
            return


def version(document: Json) -> int:
    return int(document["metadata"]["resourceVersion"])


def test_kill_loses_no_acknowledged_write(server: ApiServer, connect: Callable[[ApiServer], Api]) -> None:
    highest = 0
    for kill in range(KILLS):
        writers = [Writer(connect(server), f"w{kill}-{number}") for number in range(WRITERS)]
        for writer in writers:
            writer.start()
        wait_until(
            lambda writers=writers: all(len(each.acknowledged) > 10 for each in writers), "every writer has written"
        )

        server.kill()
        for writer in writers:
            writer.join()
        server.start()

        found = {each["metadata"]["name"]: each for each in ok(connect(server).get("configmaps"))["items"]}
        for name, acknowledged in [pair for writer in writers for pair in writer.acknowledged.items()]:
            kept = found[name]  # The write after the last acknowledged one may also be stored.
            assert version(kept) > version(acknowledged) or kept == acknowledged
            assert version(acknowledged) > highest
        newest = connect(server).made("configmaps", {"metadata": {"name": f"after-{kill}"}})
        assert version(newest) > max(map(version, found.values()))
        highest = version(newest)


def test_watch_from_before_a_restart_must_list_again(server: ApiServer, connect: Callable[[ApiServer], Api]) -> None:
    api = connect(server)
    old = ok(api.get("configmaps"))["metadata"]["resourceVersion"]
    last = api.made("configmaps", {"metadata": {"name": "a"}})["metadata"]["resourceVersion"]
    server.kill()
    server.start()
    api = connect(server)

    with api.watching("configmaps", resourceVersion=old) as events:
        assert next(events)["object"]["code"] == 410
    with api.watching("configmaps", resourceVersion=last) as events:
        api.made("configmaps", {"metadata": {"name": "b"}})
        assert next(events)["object"]["metadata"]["name"] == "b"


def test_continue_token_from_before_a_restart_expires(server: ApiServer, connect: Callable[[ApiServer], Api]) -> None:
    api = connect(server)
    for name in ("a", "b", "c"):
        api.made("configmaps", {"metadata": {"name": name}})
    page = ok(api.get("configmaps", limit=1))
    ok(api.delete("configmaps", "b"))
    server.kill()
    server.start()
    token = page["metadata"]["continue"]
    refused(connect(server).get("configmaps", limit=1, **{"continue": token}), 410, "Expired")


def test_custom_kinds_are_served_after_a_restart(server: ApiServer, connect: Callable[[ApiServer], Api]) -> None:
    spec = {"type": "object", "properties": {"size": {"type": "integer", "default": 3}}}
    schema = {"type": "object", "properties": {"spec": {**spec, "default": {}}}}
    definition = {
        "metadata": {"name": "things.x.dev"},
        "spec": {
            "group": "x.dev",
            "scope": "Namespaced",
            "names": {"plural": "things", "kind": "Thing"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
        },
    }
    ok(connect(server).http.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", json=definition), 201)
    server.kill()
    server.start()
    assert connect(server).made("things.x.dev/v1", {"metadata": {"name": "t"}})["spec"] == {"size": 3}


def test_interrupted_garbage_collection_finishes_after_a_restart(
    server: ApiServer, connect: Callable[[ApiServer], Api]
) -> None:
    api = connect(server)
    owner = api.made("configmaps", {"metadata": {"name": "owner", "finalizers": ["x.dev/hold"]}})
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
    api.made("configmaps", {"metadata": {"name": "owned", "ownerReferences": [reference]}})
    ok(api.delete("configmaps", "owner"))
    server.kill()
    server.start()
    api = connect(server)
    assert api.exists("configmaps", "owned")
    ok(api.patch("configmaps", "owner", {"metadata": {"finalizers": None}}))
    api.wait_gone("configmaps", "owned")


def test_graceful_stop_ends_open_watches_immediately(server: ApiServer, connect: Callable[[ApiServer], Api]) -> None:
    api = connect(server)
    since = ok(api.get("configmaps"))["metadata"]["resourceVersion"]
    with api.watching("configmaps", resourceVersion=since) as events:
        server.stop()
        assert list(events) == []
    assert "Traceback" not in server.log()


def test_system_namespaces_exist(server: ApiServer, connect: Callable[[ApiServer], Api]) -> None:
    listed = ok(connect(server).http.get("/api/v1/namespaces"))["items"]
    found = {each["metadata"]["name"] for each in listed}
    assert found == {"default", "kube-node-lease", "kube-public", "kube-system"}
    refused(connect(server).http.delete("/api/v1/namespaces/default"), 403, "Forbidden")
