"""Watches: every matching change after a list, in order and exactly once."""

import itertools
import time
from collections.abc import Callable, Iterator
from itertools import islice

from support.kube_api import Api, Json, ok, refused
from support.waiting import first_within

GENERATE = "generatejobs.darkroom.dev/v1alpha1"


def received(events: Iterator[Json], count: int) -> list[tuple[str, str]]:
    return [(event["type"], event["object"]["metadata"]["name"]) for event in islice(events, count)]


def newest(api: Api) -> str:
    version: str = ok(api.get(GENERATE, limit=1))["metadata"]["resourceVersion"]
    return version


def labelled(document: Json, **labels: str) -> Json:
    return document | {"metadata": document["metadata"] | {"labels": labels}}


def test_watch_sends_changes_since_a_list_in_order(api: Api, name: str, generate_job: Callable[..., Json]) -> None:
    since = newest(api)
    api.made(GENERATE, generate_job(name))
    ok(api.patch(GENERATE, name, {"spec": {"priority": 1}}))
    with api.watching(GENERATE, resourceVersion=since) as events:
        assert received(events, 2) == [("ADDED", name), ("MODIFIED", name)]
        ok(api.patch(GENERATE, name, {"status": {"phase": "Queued"}}, subresource="status"))
        ok(api.delete(GENERATE, name))
        assert received(events, 2) == [("MODIFIED", name), ("DELETED", name)]


def test_open_watch_receives_writes_immediately(api: Api, name: str, generate_job: Callable[..., Json]) -> None:
    with api.watching(GENERATE, resourceVersion=newest(api)) as events:
        names = (f"{name}-{number}" for number in itertools.count(1))

        def seconds_until_received() -> float:
            began = time.monotonic()
            made = api.made(GENERATE, generate_job(next(names)))
            assert next(events)["object"] == made
            return time.monotonic() - began

        assert first_within(2.0, seconds_until_received) < 2


def test_deleted_object_arrives_in_its_last_state_with_a_newer_version(
    api: Api, name: str, generate_job: Callable[..., Json]
) -> None:
    made = api.made(GENERATE, generate_job(name, priority=7))
    with api.watching(GENERATE, resourceVersion=newest(api)) as events:
        ok(api.delete(GENERATE, name))
        event = next(events)
    assert event["type"] == "DELETED"
    assert event["object"]["spec"]["priority"] == 7
    assert int(event["object"]["metadata"]["resourceVersion"]) > int(made["metadata"]["resourceVersion"])


def test_watch_without_a_version_starts_with_the_existing_objects(
    api: Api, name: str, generate_job: Callable[..., Json]
) -> None:
    api.made(GENERATE, labelled(generate_job(name), test=name))
    with api.watching(GENERATE, labelSelector=f"test={name}") as events:
        assert received(events, 1) == [("ADDED", name)]
        ok(api.delete(GENERATE, name))
        assert received(events, 1) == [("DELETED", name)]


def test_selector_turns_changes_into_added_and_deleted(api: Api, name: str, generate_job: Callable[..., Json]) -> None:
    api.made(GENERATE, generate_job(name))
    with api.watching(GENERATE, resourceVersion=newest(api), labelSelector=f"test={name}") as events:
        for value in (name, "other"):
            ok(api.patch(GENERATE, name, {"metadata": {"labels": {"test": value}}}))
        assert received(events, 2) == [("ADDED", name), ("DELETED", name)]


def test_single_object_can_be_watched_by_name(api: Api, name: str, generate_job: Callable[..., Json]) -> None:
    since = newest(api)
    for each in (f"{name}-other", name):
        api.made(GENERATE, generate_job(each))
    with api.watching(GENERATE, resourceVersion=since, fieldSelector=f"metadata.name={name}") as events:
        assert received(events, 1) == [("ADDED", name)]


def test_watch_is_limited_to_its_namespace(api: Api, name: str, generate_job: Callable[..., Json]) -> None:
    since = newest(api)
    elsewhere = api.path(GENERATE, namespace="default")
    ok(api.http.post(elsewhere, json=generate_job(f"{name}-elsewhere")), 201)
    api.made(GENERATE, generate_job(name))
    with api.watching(GENERATE, resourceVersion=since) as events:
        assert received(events, 1) == [("ADDED", name)]
    ok(api.http.delete(f"{elsewhere}/{name}-elsewhere"))


def test_watch_across_namespaces(api: Api, name: str, generate_job: Callable[..., Json]) -> None:
    params = {"watch": "true", "resourceVersion": newest(api), "labelSelector": f"test={name}", "timeoutSeconds": 20}
    api.made(GENERATE, labelled(generate_job(name), test=name))
    with api.http.stream("GET", "/apis/darkroom.dev/v1alpha1/generatejobs", params=params) as response:
        assert name in next(response.iter_lines())


def test_watch_ends_at_its_timeout(api: Api) -> None:
    def seconds_until_its_end() -> float:
        began = time.monotonic()
        with api.watching(GENERATE, resourceVersion=newest(api), timeoutSeconds=1) as events:
            assert list(events) == []
        return time.monotonic() - began

    assert 0.5 < first_within(10.0, seconds_until_its_end) < 10


def test_idle_watch_receives_a_bookmark(api: Api, name: str, generate_job: Callable[..., Json]) -> None:
    query = {"resourceVersion": newest(api), "allowWatchBookmarks": "true", "timeoutSeconds": 4}
    with api.watching(GENERATE, labelSelector="nobody=has-it", **query) as events:
        unseen = api.made(GENERATE, generate_job(name))
        bookmark = list(events)[-1]
    assert bookmark["type"] == "BOOKMARK"
    assert bookmark["object"]["kind"] == "GenerateJob"
    assert int(bookmark["object"]["metadata"]["resourceVersion"]) >= int(unseen["metadata"]["resourceVersion"])


def test_watch_from_an_old_version_is_complete_or_expires(
    api: Api, name: str, generate_job: Callable[..., Json]
) -> None:
    api.made(GENERATE, generate_job(name))
    params = {"watch": "true", "resourceVersion": "1", "timeoutSeconds": "2"}
    response = api.http.get(api.path(GENERATE), params=params)
    if response.status_code != 200:
        assert refused(response, 410, "Expired")
    elif '"ERROR"' in response.text:
        assert '"code":410' in response.text
    else:
        assert name in response.text


def test_many_changes_arrive_exactly_once_and_in_order(api: Api, name: str, generate_job: Callable[..., Json]) -> None:
    made = api.made(GENERATE, generate_job(name))
    since = made["metadata"]["resourceVersion"]
    query = {"resourceVersion": since, "fieldSelector": f"metadata.name={name}"}
    with api.watching(GENERATE, **query) as events:
        for number in range(1, 101):
            ok(api.patch(GENERATE, name, {"spec": {"priority": number}}))
        seen = [event["object"]["spec"]["priority"] for event in islice(events, 100)]
    assert seen == list(range(1, 101))


def test_every_kind_that_the_operator_watches_supports_watch(
    api: Api, name: str, train_job: Callable[..., Json], gated_pod: Callable[..., Json]
) -> None:
    lease = {"metadata": {"name": name}, "spec": {"holderIdentity": "me"}}
    documents = {"pods": gated_pod(name), "leases.coordination.k8s.io/v1": lease}
    for plural, document in {**documents, "trainjobs.darkroom.dev/v1alpha1": train_job(name)}.items():
        with api.watching(plural, resourceVersion=newest(api), timeoutSeconds=20) as events:
            api.made(plural, document)
            assert received(events, 1) == [("ADDED", name)]
