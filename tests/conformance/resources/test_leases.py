"""Leases as slots: exactly one of many concurrent writers acquires a lease."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from support.kube_api import Api, Json, ok, refused

LEASES = "leases.coordination.k8s.io/v1"
CONTENDERS = 8
INSTANT = "2026-01-02T03:04:05.678901Z"


def a_lease(name: str, holder: str | None = None) -> Json:
    spec: Json = {"acquireTime": INSTANT, "leaseTransitions": 0}
    if holder:
        spec["holderIdentity"] = holder
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}, "spec": spec}


def at_once(attempt: Any) -> list[int]:
    """The status codes of concurrent attempts."""
    with ThreadPoolExecutor(CONTENDERS) as pool:
        return sorted(pool.map(lambda number: attempt(f"contender-{number}").status_code, range(CONTENDERS)))


def test_one_of_many_concurrent_creates_acquires_the_lease(api: Api, name: str) -> None:
    answers = at_once(lambda holder: api.create(LEASES, a_lease(name, holder)))
    assert answers == [201] + [409] * (CONTENDERS - 1)


def test_one_of_many_concurrent_takeovers_acquires_the_lease(api: Api, name: str) -> None:
    free = api.made(LEASES, a_lease(name))
    version = free["metadata"]["resourceVersion"]

    def take(holder: str) -> Any:
        patch = {"metadata": {"resourceVersion": version}, "spec": {"holderIdentity": holder}}
        return api.patch(LEASES, name, patch)

    assert at_once(take) == [200] + [409] * (CONTENDERS - 1)
    assert api.read(LEASES, name)["spec"]["holderIdentity"].startswith("contender-")


def test_one_of_many_concurrent_updates_acquires_the_lease(api: Api, name: str) -> None:
    free = api.made(LEASES, a_lease(name))

    def take(holder: str) -> Any:
        return api.replace(LEASES, {**free, "spec": {**free["spec"], "holderIdentity": holder}})

    assert at_once(take) == [200] + [409] * (CONTENDERS - 1)


def test_removing_the_holder_releases_the_lease(api: Api, name: str) -> None:
    held = api.made(LEASES, a_lease(name, "me"))
    patch = {
        "metadata": {"resourceVersion": held["metadata"]["resourceVersion"], "annotations": {"a": None}},
        "spec": {"holderIdentity": None, "acquireTime": None, "renewTime": None},
    }
    spec = ok(api.patch(LEASES, name, patch))["spec"]
    assert spec.get("holderIdentity") is None
    assert spec.get("acquireTime") is None


def test_timestamps_keep_their_microseconds(api: Api, name: str) -> None:
    api.made(LEASES, a_lease(name, "me"))
    assert api.read(LEASES, name)["spec"]["acquireTime"] == INSTANT


def test_invalid_duration_is_rejected(api: Api, name: str) -> None:
    lease = a_lease(name, "me")
    lease["spec"]["leaseDurationSeconds"] = 0
    assert "spec.leaseDurationSeconds" in refused(api.create(LEASES, lease), 422, "Invalid")


def test_lease_update_requires_a_version(api: Api, name: str) -> None:
    api.made(LEASES, a_lease(name, "me"))
    refused(api.replace(LEASES, a_lease(name, "you")), 422, "Invalid")
