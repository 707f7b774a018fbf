"""Watches: every change after a list, in order, none twice, as the client's selectors show it."""

import time
from collections.abc import Callable, Iterator
from itertools import islice

from support.kube_api import Api, Json, ok, refused

GENERATE = "generatejobs.darkroom.dev/v1alpha1"


def told(events: Iterator[Json], count: int) -> list[tuple[str, str]]:
    return [(event["type"], event["object"]["metadata"]["name"]) for event in islice(events, count)]


def newest(api: Api) -> str:
    version: str = ok(api.get(GENERATE, limit=1))["metadata"]["resourceVersion"]
    return version


def labelled(document: Json, **labels: str) -> Json:
    return document | {"metadata": document["metadata"] | {"labels": labels}}


def test_a_watch_tells_what_happened_after_a_list_in_order(
    api: Api, name: str, generate_job: Callable[..., Json]
) -> None:
    since = newest(api)
    api.made(GENERATE, generate_job(name))
    ok(api.patch(GENERATE, name, {"spec": {"priority": 1}}))
    with api.watching(GENERATE, resourceVersion=since) as events:
        assert told(events, 2) == [("ADDED", name), ("MODIFIED", name)]
        ok(api.patch(GENERATE, name, {"status": {"phase": "Queued"}}, subresource="status"))
        ok(api.delete(GENERATE, name))
        assert told(events, 2) == [("MODIFIED", name), ("DELETED", name)]


def test_what_is_written_while_a_watch_is_open_arrives_at_once(
    api: Api, name: str, generate_job: Callable[..., Json]
) -> None:
    with api.watching(GENERATE, resourceVersion=newest(api)) as events:
        began = time.monotonic()
        made = api.made(GENERATE, generate_job(name))
        assert next(events)["object"] == made
        assert time.monotonic() - began < 2


def test_a_deleted_object_arrives_in_its_last_state_with_a_newer_version(
    api: Api, name: str, generate_job: Callable[..., Json]
) -> None:
    made = api.made(GENERATE, generate_job(name, priority=7))
    with api.watching(GENERATE, resourceVersion=newest(api)) as events:
        ok(api.delete(GENERATE, name))
        event = next(events)
    assert event["type"] == "DELETED"
    assert event["object"]["spec"]["priority"] == 7
    assert int(event["object"]["metadata"]["resourceVersion"]) > int(made["metadata"]["resourceVersion"])


def test_a_watch_from_nowhere_begins_with_what_is_there(api: Api, name: str, generate_job: Callable[..., Json]) -> None:
    api.made(GENERATE, labelled(generate_job(name), test=name))
    with api.watching(GENERATE, labelSelector=f"test={name}") as events:
        assert told(events, 1) == [("ADDED", name)]
        ok(api.delete(GENERATE, name))
        assert told(events, 1) == [("DELETED", name)]


def test_an_object_appears_and_vanishes_as_the_selector_has_it(
    api: Api, name: str, generate_job: Callable[..., Json]
) -> None:
    api.made(GENERATE, generate_job(name))
    with api.watching(GENERATE, resourceVersion=newest(api), labelSelector=f"test={name}") as events:
        for value in (name, "other"):
            ok(api.patch(GENERATE, name, {"metadata": {"labels": {"test": value}}}))
        assert told(events, 2) == [("ADDED", name), ("DELETED", name)]


def test_one_object_can_be_watched_by_its_name(api: Api, name: str, generate_job: Callable[..., Json]) -> None:
    since = newest(api)
    for each in (f"{name}-other", name):
        api.made(GENERATE, generate_job(each))
    with api.watching(GENERATE, resourceVersion=since, fieldSelector=f"metadata.name={name}") as events:
        assert told(events, 1) == [("ADDED", name)]


def test_a_watch_sees_only_its_namespace(api: Api, name: str, generate_job: Callable[..., Json]) -> None:
    since = newest(api)
    elsewhere = api.path(GENERATE, namespace="default")
    ok(api.http.post(elsewhere, json=generate_job(f"{name}-elsewhere")), 201)
    api.made(GENERATE, generate_job(name))
    with api.watching(GENERATE, resourceVersion=since) as events:
        assert told(events, 1) == [("ADDED", name)]
    ok(api.http.delete(f"{elsewhere}/{name}-elsewhere"))


def test_all_namespaces_can_be_watched_together(api: Api, name: str, generate_job: Callable[..., Json]) -> None:
    params = {"watch": "true", "resourceVersion": newest(api), "labelSelector": f"test={name}", "timeoutSeconds": 20}
    api.made(GENERATE, labelled(generate_job(name), test=name))
    with api.http.stream("GET", "/apis/darkroom.dev/v1alpha1/generatejobs", params=params) as response:
        assert name in next(response.iter_lines())


def test_a_watch_ends_when_its_time_is_over(api: Api) -> None:
    began = time.monotonic()
    with api.watching(GENERATE, resourceVersion=newest(api), timeoutSeconds=1) as events:
        assert list(events) == []
    assert 0.5 < time.monotonic() - began < 10


def test_a_watch_that_sees_nothing_of_what_happens_gets_a_bookmark(
    api: Api, name: str, generate_job: Callable[..., Json]
) -> None:
    query = {"resourceVersion": newest(api), "allowWatchBookmarks": "true", "timeoutSeconds": 4}
    with api.watching(GENERATE, labelSelector="nobody=has-it", **query) as events:
        unseen = api.made(GENERATE, generate_job(name))
        bookmark = list(events)[-1]
    assert bookmark["type"] == "BOOKMARK"
    assert bookmark["object"]["kind"] == "GenerateJob"
    assert int(bookmark["object"]["metadata"]["resourceVersion"]) >= int(unseen["metadata"]["resourceVersion"])


def test_a_watch_from_long_ago_goes_on_correctly_or_says_that_it_can_not(
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


def test_many_changes_arrive_each_once_and_in_order(api: Api, name: str, generate_job: Callable[..., Json]) -> None:
    made = api.made(GENERATE, generate_job(name))
    since = made["metadata"]["resourceVersion"]
    query = {"resourceVersion": since, "fieldSelector": f"metadata.name={name}"}
    with api.watching(GENERATE, **query) as events:
        for number in range(1, 101):
            ok(api.patch(GENERATE, name, {"spec": {"priority": number}}))
        seen = [event["object"]["spec"]["priority"] for event in islice(events, 100)]
    assert seen == list(range(1, 101))


def test_every_kind_that_the_operator_watches_can_be_watched(
    api: Api, name: str, train_job: Callable[..., Json], gated_pod: Callable[..., Json]
) -> None:
    lease = {"metadata": {"name": name}, "spec": {"holderIdentity": "me"}}
    documents = {"pods": gated_pod(name), "leases.coordination.k8s.io/v1": lease}
    for plural, document in {**documents, "trainjobs.darkroom.dev/v1alpha1": train_job(name)}.items():
        with api.watching(plural, resourceVersion=newest(api), timeoutSeconds=20) as events:
            api.made(plural, document)
            assert told(events, 1) == [("ADDED", name)]
