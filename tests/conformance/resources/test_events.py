"""Events about a job, found by field selectors for the job."""

from collections.abc import Callable

from support.kube_api import Api, Json, ok


def test_events_are_found_by_their_involved_object(api: Api, name: str, generate_job: Callable[..., Json]) -> None:
    job = api.made("generatejobs.darkroom.dev/v1alpha1", generate_job(name))
    about = {
        "apiVersion": "darkroom.dev/v1alpha1",
        "kind": "GenerateJob",
        "name": name,
        "namespace": api.namespace,
        "uid": job["metadata"]["uid"],
    }
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": f"{name}."},
        "involvedObject": about,
        "type": "Warning",
        "reason": "Unschedulable",
        "message": "no node has a GPU",
        "firstTimestamp": "2026-01-02T03:04:05Z",
        "lastTimestamp": "2999-01-02T03:04:05Z",
        "source": {"component": "darkroom-operator"},
        "count": 1,
    }
    api.made("events", event)
    selector = f"involvedObject.uid={about['uid']},involvedObject.kind=GenerateJob"
    [found] = ok(api.get("events", fieldSelector=selector))["items"]
    assert (found["reason"], found["message"]) == ("Unschedulable", "no node has a GPU")
    assert ok(api.get("events", fieldSelector=f"{selector},type=Normal"))["items"] == []
