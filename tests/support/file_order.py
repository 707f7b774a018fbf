"""The order of the test files. Used by tests/conftest.py.

`make test` hands whole files to its workers in this order, so a long file that begins last would keep one worker busy
while the others wait. `python -m pytest --durations=0` lists how long the tests take.
"""

from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
STORIES = "stories"
"""After the long files, and together: each worker starts one cluster for all stories that it runs."""
LONG_STORIES = (
    "stories/test_demo_and_readme.py",
    "stories/test_order.py",
    "stories/test_sudden_death.py",
    "stories/test_events.py",
    "stories/test_drained_node.py",
    "stories/test_kubectl.py",
    "stories/test_one_at_a_time.py",
    "stories/test_redis_lost_in_a_handover.py",
    "stories/test_command_line.py",
    "stories/test_outages.py",
    "stories/test_lost_node.py",
)
LONG_FILES = (
    "unit/runner/training/test_samples.py",
    "unit/gateway/docs/test_openapi.py",
    "unit/runner/tasks/test_complete_training.py",
    "quality/test_clips_keep_the_picture.py",
    "quality/test_subject.py",
    "quality/test_prompt_fidelity.py",
    "unit/runner/unet_cache/test_compilation.py",
    "quality/test_captions_and_masks.py",
    "page/test_page.py",
    "unit/runner/training/test_checkpoints.py",
    "unit/runner/training/test_held_out_loss.py",
    "unit/runner/training/test_training_options.py",
    "unit/runner/unet_cache/test_unet_cache.py",
    "unit/runner/training/test_session.py",
    "unit/benchmarks/test_gpu_checks.py",
    "unit/runner/warm/test_hand_over.py",
    "unit/runner/models/test_revisions.py",
    "unit/runner/run/test_model_index.py",
    "unit/gateway/photos/test_upload_limits.py",
    "chart/test_lifecycle.py",
    "unit/gateway/backends/test_deadlines.py",
    "chaos/test_chaos.py",
)
"""First, the longest before the others. Shorter files stay beside those of their folder, with which they share
servers."""
_PLACES = {TESTS / name: place for place, name in enumerate((*LONG_STORIES, *LONG_FILES))}


def place_of(path: Path) -> tuple[int, int]:
    """Sorts items by their files; those with equal places stay in the order in which they were collected."""
    place = _PLACES.get(path, len(_PLACES))
    if path.is_relative_to(TESTS / STORIES):
        return 1, place
    return (0 if path in _PLACES else 2), place


def put_in_order(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: place_of(item.path))
