"""The cache in the metadata of images: the settings that applied, and no others."""

from typing import Any

import pytest

from darkroom_contract.base_models import UsedModel
from darkroom_contract.specs.cache import Cache
from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_runner.tasks.output_metadata import cache_metadata, clip_metadata


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"profile": "Disabled"}, None),
        ({"interval": 1}, None),
        ({"interval": 4}, {"policy": "Interval", "interval": 4, "branch": 0}),
        ({"branch": 2}, {"policy": "Interval", "interval": 3, "branch": 2}),
        ({"policy": "DeepCache", "profile": "Fast"}, {"policy": "DeepCache", "interval": 5, "branch": 0}),
        (
            {"policy": "FirstBlock", "threshold": 0.15},
            {"policy": "FirstBlock", "profile": "Balanced", "threshold": 0.15},
        ),
        (
            {"reuseGuidance": True},
            {
                "policy": "Adaptive",
                "profile": "Balanced",
                "threshold": 1.6,
                "reuseGuidance": True,
                "reuseAttention": False,
            },
        ),
    ],
)
def test_metadata_has_the_cache_settings_that_apply(settings: dict[str, Any], expected: dict[str, Any] | None) -> None:
    assert cache_metadata(Cache.from_dict(settings)) == expected


def test_clip_metadata_has_the_cache_of_the_clip() -> None:
    spec = GenerateJobSpec.from_dict({"prompt": "a dog", "allowMotion": True, "cache": {"interval": 2}})

    metadata = clip_metadata(spec, UsedModel(reference="owner/clips", commit=None), {})

    assert metadata["video"]["cache"] == {"policy": "Interval", "interval": 2, "branch": 0}
