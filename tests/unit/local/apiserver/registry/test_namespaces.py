"""The initial contents of a namespace."""

from collections.abc import Callable

from support.kube_api import Api, ApiServer, ok


def test_every_namespace_has_a_default_service_account(shared: ApiServer, connect: Callable[[ApiServer], Api]) -> None:
    api = connect(shared)
    ok(api.get("serviceaccounts", "default"))
    ok(api.http.post("/api/v1/namespaces", json={"metadata": {"name": "fresh"}}), 201)
    path = api.path("serviceaccounts", "default", namespace="fresh")
    ok(api.http.get(path))
    ok(api.http.delete("/api/v1/namespaces/fresh"))
