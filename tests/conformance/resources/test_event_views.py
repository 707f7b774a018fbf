"""Events have two views, core `v1` and `events.k8s.io/v1`: the operator writes one, kubectl reads the other."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from support.kube_api import MERGE, TABLE, Api, Json, ok, refused

EVENTS = "events.events.k8s.io/v1"
EVENT_TIME = "2999-01-02T03:04:05.678901Z"
LATER = "2999-01-02T03:05:05.000000Z"
CONTROLLER = "darkroom.dev/darkroom-operator"


def event_on(job: Json, **changes: Any) -> Json:
    about = {field: job["metadata"][field] for field in ("name", "namespace", "uid")}
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": f"{job['metadata']['name']}.0123456789abcdef"},
        "regarding": {"apiVersion": job["apiVersion"], "kind": job["kind"], **about},
        "type": "Normal",
        "reason": "Admitted",
        "action": "Admit",
        "note": "Run 1 holds slot 0.",
        "eventTime": EVENT_TIME,
        "reportingController": CONTROLLER,
        "reportingInstance": "darkroom-operator",
        **changes,
    }


@pytest.fixture
def job(api: Api, name: str, generate_job: Callable[..., Json]) -> Json:
    made: Json = api.made("generatejobs.darkroom.dev/v1alpha1", generate_job(name))
    return {"apiVersion": "darkroom.dev/v1alpha1", "kind": "GenerateJob", **made}


@pytest.fixture
def event(api: Api, job: Json) -> Json:
    return api.made(EVENTS, event_on(job))


def test_an_event_of_the_new_api_is_read_through_the_core_api(api: Api, job: Json, event: Json) -> None:
    seen = api.read("events", event["metadata"]["name"])
    assert seen["involvedObject"] == event["regarding"]
    assert (seen["message"], seen["reportingComponent"]) == ("Run 1 holds slot 0.", CONTROLLER)
    assert seen["metadata"]["uid"] == event["metadata"]["uid"]
    assert (seen["apiVersion"], seen["kind"]) == ("v1", "Event")
    assert not {"regarding", "note", "reportingController"} & seen.keys()


def test_an_event_of_the_core_api_is_read_through_the_new_api(api: Api, job: Json, name: str) -> None:
    about = event_on(job)["regarding"]
    times = {"firstTimestamp": "2999-01-02T03:04:05Z", "lastTimestamp": "2999-01-02T03:05:05Z"}
    core = {"metadata": {"name": f"{name}.core"}, "involvedObject": about, "message": "x", "count": 3, **times}
    api.made("events", {**core, "type": "Normal", "reason": "Old", "source": {"component": "kubelet"}})
    seen = api.read(EVENTS, f"{name}.core")
    assert (seen["apiVersion"], seen["regarding"], seen["note"]) == ("events.k8s.io/v1", about, "x")
    assert (seen["deprecatedCount"], seen["deprecatedSource"]) == (3, {"component": "kubelet"})
    assert seen["deprecatedLastTimestamp"] == "2999-01-02T03:05:05Z"


def test_field_selectors_name_each_view_s_own_fields(api: Api, job: Json, event: Json) -> None:
    uid, name = job["metadata"]["uid"], event["metadata"]["name"]
    for plural, selector in (
        ("events", f"involvedObject.uid={uid},reportingComponent={CONTROLLER}"),
        ("events", f"involvedObject.uid={uid},source={CONTROLLER}"),
        (EVENTS, f"regarding.uid={uid},reportingController={CONTROLLER},type=Normal"),
    ):
        [found] = ok(api.get(plural, fieldSelector=selector))["items"]
        assert found["metadata"]["name"] == name
    assert ok(api.get(EVENTS, fieldSelector=f"regarding.uid={uid},reason=Other"))["items"] == []
    refused(api.get(EVENTS, fieldSelector=f"involvedObject.uid={uid}"), 400)
    refused(api.get("events", fieldSelector=f"regarding.uid={uid}"), 400)


def test_a_repeat_is_written_into_the_series(api: Api, job: Json, event: Json) -> None:
    name, series = event["metadata"]["name"], {"count": 2, "lastObservedTime": LATER}
    patched = ok(api.patch(EVENTS, name, {"series": series}, MERGE))
    assert (patched["series"]["count"], patched["apiVersion"]) == (2, "events.k8s.io/v1")
    assert api.read("events", name)["series"]["count"] == 2
    assert ok(api.patch(EVENTS, name, {}))["series"]["count"] == 2


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"eventTime": None}, "eventTime"),
        ({"action": ""}, "action"),
        ({"action": "a" * 129}, "action"),
        ({"reason": ""}, "reason"),
        ({"reason": "a" * 129}, "reason"),
        ({"reportingController": ""}, "reportingController"),
        ({"reportingController": "not a name"}, "reportingController"),
        ({"reportingInstance": ""}, "reportingInstance"),
        ({"reportingInstance": "a" * 129}, "reportingInstance"),
        ({"note": "é" * 513}, "message"),
        ({"type": "Bad"}, "type"),
        ({"type": None}, "type"),
        ({"deprecatedCount": 1}, "count"),
        ({"deprecatedSource": {"component": "x"}}, "source"),
        ({"deprecatedFirstTimestamp": "2999-01-02T03:04:05Z"}, "firstTimestamp"),
        ({"deprecatedLastTimestamp": "2999-01-02T03:04:05Z"}, "lastTimestamp"),
        ({"series": {"count": 1, "lastObservedTime": LATER}}, "series.count"),
        ({"series": {"count": 2, "lastObservedTime": None}}, "series.lastObservedTime"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_the_new_api_validates_strictly(api: Api, job: Json, changes: Json, field: str) -> None:
    answer = api.create(EVENTS, event_on(job, **changes))
    refused(answer, 422, "Invalid")
    assert field in {cause["field"] for cause in answer.json()["details"]["causes"]}


@pytest.mark.parametrize(
    "change",
    [
        {"note": "another"},
        {"reason": "Other"},
        {"type": "Warning"},
        {"action": "Other"},
        {"eventTime": LATER},
        {"regarding": {"name": "another"}},
        {"related": {"kind": "Pod", "name": "p"}},
        {"reportingInstance": "another"},
        {"deprecatedCount": 2},
        {"series": {"count": 1, "lastObservedTime": LATER}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_nothing_but_a_valid_series_may_change(api: Api, event: Json, change: Json) -> None:
    refused(api.patch(EVENTS, event["metadata"]["name"], change), 422, "Invalid")


def test_the_core_api_lets_everything_change(api: Api, event: Json) -> None:
    assert ok(api.patch("events", event["metadata"]["name"], {"count": 4}))["count"] == 4


def test_the_same_name_is_one_event_in_both_apis(api: Api, job: Json, event: Json) -> None:
    refused(api.create(EVENTS, event_on(job)), 409, "AlreadyExists")
    core = {"metadata": {"name": event["metadata"]["name"]}, "involvedObject": event["regarding"]}
    refused(api.create("events", core), 409, "AlreadyExists")


def test_a_watch_shows_events_in_the_version_that_is_watched(api: Api, job: Json) -> None:
    uid, note = job["metadata"]["uid"], "Run 1 holds slot 0."
    since = ok(api.get(EVENTS))["metadata"]["resourceVersion"]
    views = ((EVENTS, "regarding.uid", "note"), ("events", "involvedObject.uid", "message"))
    api.made(EVENTS, event_on(job))
    for plural, selected, text in views:
        for start in ({"resourceVersion": since}, {}):
            with api.watching(plural, fieldSelector=f"{selected}={uid}", **start) as changes:
                change = next(changes)
            assert (change["type"], change["object"][text]) == ("ADDED", note)


def test_an_update_replaces_an_event(api: Api, event: Json) -> None:
    later = {**event, "series": {"count": 5, "lastObservedTime": LATER}}
    assert ok(api.replace(EVENTS, later))["series"]["count"] == 5


def test_a_deleted_event_is_gone_from_both_apis(api: Api, event: Json) -> None:
    name = event["metadata"]["name"]
    ok(api.delete(EVENTS, name))
    assert not api.exists(EVENTS, name)
    assert not api.exists("events", name)


def test_discovery_lists_the_group(api: Api) -> None:
    group = ok(api.http.get("/apis/events.k8s.io"))
    assert group["preferredVersion"]["groupVersion"] == "events.k8s.io/v1"
    [resource] = ok(api.http.get("/apis/events.k8s.io/v1"))["resources"]
    assert (resource["name"], resource["kind"], resource["namespaced"]) == ("events", "Event", True)
    paths = ok(api.http.get("/openapi/v3/apis/events.k8s.io/v1"))["paths"]
    assert "/apis/events.k8s.io/v1/namespaces/{namespace}/events" in paths


@pytest.mark.parametrize("plural", ["events", EVENTS])
def test_tables_of_both_views_are_the_same(api: Api, event: Json, plural: str) -> None:
    name = event["metadata"]["name"]
    ok(api.patch(EVENTS, name, {"series": {"count": 7, "lastObservedTime": _now()}}))
    found = ok(api.http.get(api.path(plural, name), headers={"Accept": TABLE}))
    columns = [column["name"] for column in found["columnDefinitions"] if not column["priority"]]
    assert columns == ["Last Seen", "Type", "Reason", "Object", "Message"]
    [row] = found["rows"]
    every = {column["name"]: cell for column, cell in zip(found["columnDefinitions"], row["cells"], strict=True)}
    assert re.fullmatch(r"\d+s", every["Last Seen"])
    assert every["Object"] == f"generatejob/{event['regarding']['name']}"
    assert (every["Message"], int(every["Count"]), every["Name"]) == ("Run 1 holds slot 0.", 7, name)
    assert every["Source"] == f"{CONTROLLER}, darkroom-operator"


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def test_kubectl_shows_them_everywhere(kubectl: Any, api: Api, job: Json, name: str) -> None:
    """`describe` sorts Events without `lastTimestamp` by nothing: their names decide."""
    for order, reason in enumerate(("Queued", "Admitted", "Started")):
        metadata = {"name": f"{name}.000000000000{order}"}
        api.made(EVENTS, event_on(job, metadata=metadata, reason=reason, eventTime=_now()))
    described = kubectl("describe", "dgj", name)
    shown = re.findall(rf"Normal +(\w+) +\d+s +{CONTROLLER} +Run 1 holds slot 0\.", described)
    assert shown == ["Queued", "Admitted", "Started"]
    listed = kubectl("get", "events", "--field-selector", f"involvedObject.name={name}")
    assert re.findall(rf"Normal +(\w+) +generatejob/{name} ", listed) == ["Queued", "Admitted", "Started"]
    assert "Started" in kubectl("get", "events.events.k8s.io", "--field-selector", f"regarding.name={name}")
    assert "Started" in kubectl("events", "--for", f"generatejob/{name}")
