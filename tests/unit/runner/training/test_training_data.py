"""From photos to the encoded concepts of a training, on the small model: shapes, texts, masks and class images."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support.runner_photos import draw_photo, stored_photo

from darkroom_contract.plan import plan_training
from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_runner.models.device import generator
from darkroom_runner.run.progress import ProgressTracker
from darkroom_runner.run.progress_events import NullSender
from darkroom_runner.run.remarks import Remarks
from darkroom_runner.run.stop_signal import StopSignal
from darkroom_runner.training.batches import make_batch
from darkroom_runner.training.buckets import framing
from darkroom_runner.training.dataset import Photo
from darkroom_runner.training.prior_preservation import share_out
from darkroom_runner.training.training_data import TrainingData, class_frames

SQUARE, WIDE, TALL = (64, 64), (192, 64), (64, 192)
SHAPES = {SQUARE: (8, 8), WIDE: (4, 12), TALL: (12, 4)}
"""Latents of photos of these sizes, in the small model's buckets at 64 pixels."""

Prepare = Callable[..., TrainingData]


@pytest.fixture
def photo(tmp_path: Path) -> Callable[..., Photo]:
    def stored(number: int, size: tuple[int, int] = SQUARE, caption: str | None = None) -> Photo:
        picture = draw_photo(number).resize(size)
        return replace(stored_photo(picture, tmp_path / f"{number}.png"), caption=caption)

    return stored


@pytest.fixture
def remarks() -> Remarks:
    return Remarks()


@pytest.fixture
def prepare(sdxl: Any, remarks: Remarks) -> Prepare:
    from darkroom_runner.training.training_data import DataPreparation

    def prepared(photos: dict[str, list[Photo]], concepts: Any = (), **training: Any) -> TrainingData:
        spec = job(concepts, **training)
        progress = ProgressTracker(1, plan_training(spec), NullSender())
        return DataPreparation(sdxl, spec, 64, progress, StopSignal(), remarks).prepare(photos)

    return prepared


def job(concepts: Any = (), **training: Any) -> TrainJobSpec:
    return TrainJobSpec.from_dict(
        {
            "modelId": "my-dog",
            "prompt": "sks dog",
            "dataset": {"uri": "s3://darkroom/photos/"},
            "concepts": list(concepts),
            "maxSteps": 10,
            "training": training,
        }
    )


def test_photos_of_mixed_shapes_are_encoded_in_buckets(prepare: Prepare, photo: Callable[..., Photo]) -> None:
    photos = [photo(number, size) for number, size in enumerate((SQUARE, WIDE, TALL))]

    [concept] = prepare({"dataset": photos}).concepts

    assert [image.shape for image in concept.images] == list(SHAPES.values())
    wide = concept.images[1].crops[0]
    assert wide.time_ids.tolist() == [64, 192, 0, 0, 32, 96]


def test_a_cropped_photo_has_its_crop_in_the_time_ids(prepare: Prepare, photo: Callable[..., Photo]) -> None:
    """200×80 pixels are scaled to 96×38, of which 32 rows are used."""
    [concept] = prepare({"dataset": [photo(0, (200, 80))]}).concepts

    assert concept.images[0].crops[0].time_ids.tolist() == [80, 200, 3, 0, 32, 96]


def test_square_crops_have_one_shape(prepare: Prepare, photo: Callable[..., Photo]) -> None:
    [concept] = prepare({"dataset": [photo(0, SQUARE), photo(1, WIDE)]}, cropping="Square").concepts

    assert [(image.shape, len(image.crops)) for image in concept.images] == [((8, 8), 1), ((8, 8), 3)]


def test_square_photos_have_the_latents_of_square_crops(prepare: Prepare, photo: Callable[..., Photo]) -> None:
    photos = [photo(0), photo(1, (70, 66))]

    [in_buckets] = prepare({"dataset": photos}).concepts
    [in_squares] = prepare({"dataset": photos}, cropping="Square").concepts

    for one, other in zip(in_buckets.images, in_squares.images, strict=True):
        assert [each.time_ids.tolist() for each in one.crops] == [each.time_ids.tolist() for each in other.crops]
        assert torch.equal(one.crops[0].mean, other.crops[0].mean)


def test_captions_are_the_texts_of_a_batch(prepare: Prepare, photo: Callable[..., Photo]) -> None:
    photos = [photo(0, caption="sks dog, grass"), photo(1), photo(2, caption="sks dog, sofa")]

    data = prepare({"dataset": photos})
    shown = [make_batch(data.concepts, job().training, number, generator(0)).prompts for number in range(3)]

    assert sorted(shown) == [["sks dog"], ["sks dog, grass"], ["sks dog, sofa"]]


def test_a_long_caption_adds_a_remark(prepare: Prepare, photo: Callable[..., Photo], remarks: Remarks) -> None:
    prepare({"dataset": [photo(0, caption="sks dog " + "on grass " * 20), photo(1, caption="short")]})

    [remark] = remarks.collected
    assert remark.reason == "CaptionsLeftOut"
    assert remark.message.startswith("1 of 2 captions have more than the 77 tokens")
    assert "0.png. Not read: '" in remark.message


def test_a_photo_much_larger_than_its_bucket_adds_a_remark(
    prepare: Prepare, photo: Callable[..., Photo], remarks: Remarks
) -> None:
    prepare({"dataset": [photo(0, (960, 96)), photo(1)]})

    [remark] = remarks.collected
    assert (remark.reason, remark.message[:40]) == ("PictureCropped", "1 of 2 photos is cropped by more than a ")
    assert "0.png (960×96)" in remark.message


def test_dropped_captions_and_shuffled_tags_are_the_same_for_a_batch_s_number(
    prepare: Prepare, photo: Callable[..., Photo]
) -> None:
    photos = [photo(number, caption=f"sks dog, {number}, grass, sun, sofa") for number in range(3)]
    settings = {"captionDropout": 0.4, "shuffleTags": True, "batchSize": 2}
    data = prepare({"dataset": photos}, **settings)

    def texts(number: int) -> list[str]:
        return make_batch(data.concepts, job(**settings).training, number, generator(number)).prompts

    shown = [texts(number) for number in range(40)]

    assert shown[20:] == [texts(number) for number in range(20, 40)]
    counts = Counter(text for each in shown for text in each)
    assert 15 < counts[""] < 50
    assert len(counts) > 15
    assert all(text.startswith("sks dog, ") for text in counts if text)


# --- concepts, class images and held-out photos ----------------------------------------------------------------------

CAT = {"prompt": "xyz cat", "dataset": {"uri": "s3://darkroom/cats/"}, "repeats": 3}


def test_several_concepts_are_shown_in_proportion_to_their_repeats(
    prepare: Prepare, photo: Callable[..., Photo]
) -> None:
    photos = {"dataset": [photo(0), photo(1)], "concepts[0].dataset": [photo(2), photo(3)]}
    data = prepare(photos, [CAT])

    shown = [make_batch(data.concepts, job().training, number, generator(0)).prompts[0] for number in range(8)]

    assert Counter(shown) == {"sks dog": 2, "xyz cat": 6}


def test_class_images_are_generated_in_the_shapes_of_the_photos(prepare: Prepare, photo: Callable[..., Photo]) -> None:
    prior = {"classPrompt": "dog", "classImages": 4, "weight": 0.5}
    settings = {"priorPreservation": prior, "batchSize": 2}
    data = prepare({"dataset": [photo(0), photo(1), photo(2, WIDE)]}, **settings)

    [concept] = data.concepts
    assert concept.prior is not None
    assert Counter(image.shape for image in concept.prior.images) == {(8, 8): 3, (4, 12): 1}
    for number in range(6):
        batch = make_batch(data.concepts, job(**settings).training, number, generator(0))
        assert batch.prompts == ["sks dog"] * 2 + ["dog"] * 2
        assert batch.weights.tolist() == [0.5, 0.5, 0.25, 0.25]


def test_own_class_pictures_are_encoded_in_place_of_generated_ones(
    prepare: Prepare, photo: Callable[..., Photo]
) -> None:
    prior = {"classPrompt": "cat", "dataset": {"uri": "s3://darkroom/any-cats/"}}
    photos = {
        "dataset": [photo(0)],
        "concepts[0].dataset": [photo(1), photo(2, WIDE)],
        "concepts[0].priorPreservation.dataset": [photo(3, WIDE), photo(4, TALL, "a tall cat")],
    }

    dog, cat = prepare(photos, [{**CAT, "priorPreservation": prior}]).concepts

    assert dog.prior is None
    assert cat.prior is not None
    assert [(image.prompt, image.shape) for image in cat.prior.images] == [
        ("cat", (4, 12)),
        ("a tall cat", (8, 8)),
    ]


def test_each_shape_of_the_photos_gets_class_pictures() -> None:
    chosen = framing(job().training.cropping, 1024, 32)
    sizes = [(1024, 1024), (1216, 832), (832, 1216)]

    frames = class_frames([(3000, 2000), (1000, 1000)], sizes, chosen)

    assert [[frame.size_px for frame in each] for each in frames] == [
        [(1216, 832), (832, 1216)],
        [(1024, 1024), (832, 1216)],
    ]


@pytest.mark.parametrize(
    ("count", "photos", "expected"),
    [(20, [10], [20]), (20, [3, 1], [15, 5]), (4, [5, 5, 5], [2, 1, 1]), (1, [5, 5], [1, 1])],
)
def test_class_images_are_shared_out_by_photos(count: int, photos: list[int], expected: list[int]) -> None:
    sizes = {(64 * number + 64, 64): each for number, each in enumerate(photos)}

    assert list(share_out(count, sizes).values()) == expected


def test_held_out_photos_are_taken_from_all_concepts_and_not_trained_on(
    prepare: Prepare, photo: Callable[..., Photo]
) -> None:
    photos = {
        "dataset": [photo(number, caption=f"dog {number}") for number in range(4)],
        "concepts[0].dataset": [photo(number, caption=f"cat {number}") for number in range(4, 6)],
    }

    data = prepare(photos, [CAT], heldOutPhotos=3)

    trained = [image.prompt for concept in data.concepts for image in concept.images]
    held_out = [image.prompt for concept in data.held_out for image in concept.images]
    assert (len(trained), len(held_out)) == (3, 3)
    assert sorted(trained + held_out) == ["cat 4", "cat 5", "dog 0", "dog 1", "dog 2", "dog 3"]
    assert any(text.startswith("cat") for text in trained)
    assert any(text.startswith("cat") for text in held_out)
