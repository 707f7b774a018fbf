"""A training with several datasets: all of them are deleted with it, and none while it may read it."""

from datetime import UTC, datetime, timedelta

from support.isolated_namespace import IsolatedNamespace, uri_of

from darkroom_contract.names import Kind
from darkroom_gateway.deletion.dataset_retention import DatasetRetention

MONTH_LATER = datetime.now(UTC) + timedelta(days=30)


def training(isolated: IsolatedNamespace, name: str, main: str, concept: str, class_images: str) -> None:
    """A training of two concepts, with class images of its own for the second one."""
    spec = {
        "modelId": name,
        "prompt": "sks dog",
        "dataset": {"uri": uri_of(main)},
        "concepts": [
            {
                "prompt": "xyz cat",
                "dataset": {"uri": uri_of(concept)},
                "priorPreservation": {"classPrompt": "a cat", "dataset": {"uri": uri_of(class_images)}},
            }
        ],
    }
    isolated.api.create(Kind.TRAIN, name, spec)


def datasets(isolated: IsolatedNamespace) -> tuple[str, str, str]:
    main, concept, class_images = (isolated.dataset(letter * 16) for letter in "abc")
    return main, concept, class_images


def test_all_datasets_are_deleted_with_their_job(isolated: IsolatedNamespace) -> None:
    training(isolated, "job", *datasets(isolated))
    isolated.request(Kind.TRAIN, "job")

    assert len(isolated.proceed()) == 1
    assert isolated.keys(f"datasets/{isolated.namespace}/") == []


def test_dataset_that_another_job_uses_for_a_concept_is_kept(isolated: IsolatedNamespace) -> None:
    main, concept, class_images = datasets(isolated)
    training(isolated, "job", main, concept, class_images)
    training(isolated, "other", isolated.dataset("d" * 16), main, isolated.dataset("e" * 16))
    isolated.request(Kind.TRAIN, "job")
    isolated.proceed()

    assert len(isolated.keys(main)) == 2
    assert isolated.keys(concept) == isolated.keys(class_images) == []


def test_retention_keeps_all_datasets_of_an_unfinished_job(isolated: IsolatedNamespace) -> None:
    training(isolated, "job", *datasets(isolated))
    expired = isolated.dataset("z" * 16)
    retention = DatasetRetention(isolated.storage, isolated.namespace, timedelta(hours=1))

    assert retention.sweep(isolated.job_deleter().all(), MONTH_LATER) == [expired]
