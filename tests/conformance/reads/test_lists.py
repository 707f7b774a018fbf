"""Lists: selectors, and pages that all show the same revision."""

from collections.abc import Callable, Iterator

import pytest
from support.kube_api import Api, Json, ok, refused

GENERATE = "generatejobs.darkroom.dev/v1alpha1"


def names(listed: Json) -> list[str]:
    return [each["metadata"]["name"] for each in listed["items"]]


@pytest.fixture
def five(api: Api, name: str, generate_job: Callable[..., Json]) -> Iterator[list[str]]:
    """Five numbered jobs, labelled with the test's name and their parity."""
    made = [f"{name}-{number}" for number in range(5)]
    for number, each in enumerate(made):
        document = generate_job(each)
        labels = {"test": name, "number": str(number)} | ({"even": ""} if number % 2 == 0 else {})
        api.made(GENERATE, document | {"metadata": {"name": each, "labels": labels}})
    yield made
    ok(api.http.delete(api.path(GENERATE), params={"labelSelector": f"test={name}"}))


def test_list_is_sorted_by_name_and_has_its_kind(api: Api, name: str, five: list[str]) -> None:
    listed = ok(api.get(GENERATE, labelSelector=f"test={name}"))
    assert names(listed) == five
    assert (listed["kind"], listed["apiVersion"]) == ("GenerateJobList", "darkroom.dev/v1alpha1")
    assert int(listed["metadata"]["resourceVersion"]) > 0


@pytest.mark.parametrize(
    ("selector", "chosen"),
    [
        ("number=3", [3]),
        ("number==3", [3]),
        ("number!=3", [0, 1, 2, 4]),
        ("number in (1,3)", [1, 3]),
        ("number notin (0, 1)", [2, 3, 4]),
        ("even", [0, 2, 4]),
        ("!even", [1, 3]),
        ("even,number in (1,2)", [2]),
    ],
)
def test_label_selectors(api: Api, name: str, five: list[str], selector: str, chosen: list[int]) -> None:
    found = names(ok(api.get(GENERATE, labelSelector=f"test={name},{selector}")))
    assert found == [five[number] for number in chosen]


def test_malformed_selector_is_rejected(api: Api) -> None:
    refused(api.get(GENERATE, labelSelector="a=(b"), 400, "BadRequest")


def test_every_kind_supports_the_name_selector(api: Api, five: list[str]) -> None:
    assert names(ok(api.get(GENERATE, fieldSelector=f"metadata.name={five[2]}"))) == [five[2]]


def test_pods_support_node_and_phase_selectors(api: Api, name: str, bound_pod: Callable[..., Json]) -> None:
    node = bound_pod(name)["spec"]["nodeName"]
    assert name in names(ok(api.get("pods", fieldSelector=f"spec.nodeName={node},status.phase=Pending")))
    assert name not in names(ok(api.get("pods", fieldSelector="spec.nodeName=")))
    assert name not in names(ok(api.get("pods", fieldSelector=f"spec.nodeName={node},status.phase!=Pending")))
    api.delete("pods", name, gracePeriodSeconds=0)


def test_unsupported_field_selector_is_rejected(api: Api) -> None:
    refused(api.get(GENERATE, fieldSelector="spec.prompt=x"), 400, "BadRequest")


def test_list_across_namespaces(api: Api, name: str, five: list[str]) -> None:
    listed = ok(api.http.get("/apis/darkroom.dev/v1alpha1/generatejobs", params={"labelSelector": f"test={name}"}))
    assert names(listed) == five


def test_pages_add_up_to_the_whole_list(api: Api, name: str, five: list[str]) -> None:
    query = {"labelSelector": f"test={name}", "limit": 2}
    first = ok(api.get(GENERATE, **query))
    second = ok(api.get(GENERATE, **query, **{"continue": first["metadata"]["continue"]}))
    third = ok(api.get(GENERATE, **query, **{"continue": second["metadata"]["continue"]}))
    assert [names(first), names(second), names(third)] == [five[:2], five[2:4], five[4:]]
    assert not third["metadata"].get("continue")


def test_page_after_the_last_match_is_empty(api: Api, name: str, five: list[str]) -> None:
    """A server that stops searching when the page is full may return a continue token."""
    query = {"labelSelector": f"test={name}", "limit": 5}
    listed = ok(api.get(GENERATE, **query))
    assert names(listed) == five
    while token := listed["metadata"].get("continue"):
        listed = ok(api.get(GENERATE, **query, **{"continue": token}))
        assert names(listed) == []


def test_all_pages_show_the_state_of_the_first(
    api: Api, name: str, five: list[str], generate_job: Callable[..., Json]
) -> None:
    query = {"labelSelector": f"test={name}", "limit": 2}
    first = ok(api.get(GENERATE, **query))

    ok(api.delete(GENERATE, five[3]))
    ok(api.patch(GENERATE, five[4], {"spec": {"priority": 8}}))
    late = generate_job(f"{name}-9")
    api.made(GENERATE, late | {"metadata": {"name": f"{name}-9", "labels": {"test": name}}})

    rest = ok(api.get(GENERATE, **{**query, "limit": 9, "continue": first["metadata"]["continue"]}))
    assert names(rest) == five[2:]
    assert rest["items"][-1]["spec"]["priority"] == 0
    assert rest["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


def test_invalid_continue_token_is_rejected(api: Api) -> None:
    refused(api.get(GENERATE, limit=2, **{"continue": "nonsense"}), 400, "BadRequest")


def test_collection_is_deleted_by_selector(api: Api, name: str, five: list[str]) -> None:
    ok(api.http.delete(api.path(GENERATE), params={"labelSelector": f"test={name},even"}))
    assert names(ok(api.get(GENERATE, labelSelector=f"test={name}"))) == [five[1], five[3]]
