"""The scene detector on drawn pictures, whose content is known."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from PIL import Image, ImageFilter

from darkroom_tiny import scene_detector
from darkroom_tiny.draw import BACKGROUNDS, SUBJECT, Scene, Size, Style, draw, training_scenes
from darkroom_tiny.samples import PHOTOS


def test_plain_drawings_are_detected_correctly():
    plain = (scene for scene in training_scenes(seed=5) if scene.style is Style.PLAIN)
    wrong = [scene for scene in islice(plain, 200) if not scene_detector.matches(draw(scene), scene)]
    assert wrong == []


def test_a_blurred_drawing_is_detected():
    scene = Scene("heart", "pink", "teal")
    assert scene_detector.matches(draw(scene).filter(ImageFilter.GaussianBlur(1.5)), scene)


@pytest.mark.parametrize("change", [{"shape": "ring"}, {"colour": "red"}, {"background": "black"}])
def test_a_wrong_shape_colour_or_background_is_noticed(change):
    scene = Scene("heart", "pink", "teal")
    assert not scene_detector.matches(draw(replace(scene, **change)), scene)


def test_nothing_is_detected_in_an_empty_picture():
    assert scene_detector.read(Image.new("RGB", (128, 128), (20, 25, 90))) is None


@pytest.mark.parametrize("size", list(Size))
@pytest.mark.parametrize("background", BACKGROUNDS)
def test_the_subject_is_recognised_on_every_background(background, size):
    assert scene_detector.shows_subject(draw(replace(SUBJECT, background=background, size=size)))


def test_the_subject_is_recognised_in_each_sample_photo():
    assert all(scene_detector.shows_subject(draw(photo)) for photo in PHOTOS)


@pytest.mark.parametrize(
    "change", [{"style": Style.PLAIN}, {"outline": "black"}, {"colour": "blue"}, {"shape": "heart"}]
)
def test_a_similar_scene_is_not_the_subject(change):
    assert not scene_detector.shows_subject(draw(replace(SUBJECT, **change)))


def test_no_training_scene_is_the_subject():
    assert not any(scene_detector.shows_subject(draw(scene)) for scene in islice(training_scenes(seed=6), 300))


@pytest.mark.parametrize("side_px", [3, scene_detector.SPECK_PX, scene_detector.RIM_PX, scene_detector.INNER_PX])
def test_squares_are_those_of_pillow_s_filters(side_px):
    mask = np.random.default_rng(side_px).random((40, 56)) > np.linspace(-0.5, 0.9, 56)
    image, sums = Image.fromarray(mask), scene_detector.square_sums(mask, side_px)

    eroded = np.asarray(image.convert("L").filter(ImageFilter.MinFilter(side_px))) > 127
    majority = np.asarray(image.convert("L").filter(ImageFilter.MedianFilter(side_px))) > 127
    assert (sums == side_px**2).tolist() == eroded.tolist()
    assert (sums > side_px**2 // 2).tolist() == majority.tolist()
    assert eroded.any()
    assert not eroded.all()
