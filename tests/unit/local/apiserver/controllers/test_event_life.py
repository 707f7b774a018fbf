"""Events expire an hour after their last occurrence, through either of their two API groups."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from darkroom_local.apiserver.controllers.garbage_collector import collect_garbage
from darkroom_local.apiserver.registry.request import RequestTarget, WriteOptions
from darkroom_local.apiserver.registry.resource_api import ResourceApi
from darkroom_local.apiserver.resources.registry import Registry
from darkroom_local.apiserver.storage.store import Store

Json = dict[str, Any]
NOW = datetime.now(UTC)
LONG_AGO = NOW - timedelta(hours=2)


@pytest.fixture
def api(tmp_path: Path) -> Iterator[ResourceApi]:
    store = Store(tmp_path / "objects.sqlite")
    yield ResourceApi(store, Registry(), lambda: None)
    store.close()


def micro_time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def core_event(**changes: Any) -> Json:
    about = {"kind": "Pod", "namespace": "default", "name": "p"}
    return {"metadata": {"name": "e"}, "involvedObject": about, "reason": "x", "type": "Normal", **changes}


def is_stored(api: ResourceApi, event: Json, group: str = "") -> bool:
    resource = api.registry.find(group, "v1", "events")
    assert resource is not None
    api.create(RequestTarget(resource, "default"), event, WriteOptions())
    collect_garbage(api)
    return api.store.get(resource.collection, "default", "e") is not None


@pytest.mark.parametrize(("last", "kept"), [(NOW, True), (LONG_AGO, False)])
def test_a_core_event_lives_from_its_last_timestamp(api: ResourceApi, last: datetime, kept: bool) -> None:
    assert is_stored(api, core_event(lastTimestamp=last.isoformat())) is kept


@pytest.mark.parametrize(("last", "kept"), [(NOW, True), (LONG_AGO, False)])
def test_a_series_lives_from_its_last_observation(api: ResourceApi, last: datetime, kept: bool) -> None:
    event = {
        "metadata": {"name": "e"},
        "regarding": {"kind": "Pod", "namespace": "default", "name": "p"},
        "type": "Normal",
        "reason": "x",
        "action": "x",
        "reportingController": "x",
        "reportingInstance": "x",
        "eventTime": micro_time(LONG_AGO),
        "series": {"count": 2, "lastObservedTime": micro_time(last)},
    }
    assert is_stored(api, event, "events.k8s.io") is kept
