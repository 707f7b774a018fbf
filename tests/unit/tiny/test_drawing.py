"""What the small models learn from: drawn scenes and their captions."""

import random
from itertools import islice
from pathlib import Path

from PIL import Image

from darkroom_tiny.captions import WORDS, caption, prompt_of
from darkroom_tiny.draw import Scene, draw, held_out, is_subject_like, scenes, training_scenes
from darkroom_tiny.samples import start_pictures


def test_drawing_a_scene_is_deterministic():
    scene = next(training_scenes(seed=3))
    assert draw(scene).tobytes() == draw(scene).tobytes()


def test_training_excludes_held_out_combinations_and_the_subject():
    seen = list(islice(training_scenes(seed=1), 3_000))
    assert not {scene.combination for scene in seen} & held_out()
    assert not any(is_subject_like(scene) for scene in seen)


def test_the_benchmark_scenes_include_combinations_excluded_from_training():
    asked = {scene.combination for scene in scenes(count=100, seed=1)}
    assert len(asked) == 100
    assert asked & held_out()


def test_held_out_scenes_have_held_out_combinations():
    assert {scene.combination for scene in scenes(count=40, seed=1, held_out_only=True)} == held_out()


def test_captions_use_only_the_vocabulary():
    rng = random.Random(0)
    for scene in islice(training_scenes(seed=2), 500):
        assert set(caption(scene, rng).replace(",", "").split()) <= set(WORDS)


def test_a_prompt_names_shape_colour_and_background():
    assert prompt_of(Scene("star", "red", "navy")) == "a red star on a navy background"


def test_start_pictures_of_the_examples_are_drawn_by_this_code() -> None:
    folder = Path(__file__).parents[3] / "examples" / "pictures"
    drawn = start_pictures()
    assert {path.name for path in folder.iterdir()} == set(drawn)
    for name, picture in drawn.items():
        with Image.open(folder / name) as stored:
            assert stored.convert("RGB").tobytes() == picture.convert("RGB").tobytes()
