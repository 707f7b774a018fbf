"""The number of steps of a training's images is set for a process, or the process fails."""

import pytest
from support.warm_parent import image_steps


def test_each_constant_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    import ftplib
    import poplib

    for module in (ftplib, poplib):
        monkeypatch.setattr(module, "STEPS", 25, raising=False)
    monkeypatch.setattr(image_steps, "CONSTANTS", (("ftplib", "STEPS"), ("poplib", "STEPS")))

    image_steps.set_image_steps(4)

    assert (ftplib.STEPS, poplib.STEPS) == (4, 4)  # type: ignore[attr-defined]


def test_a_renamed_constant_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_steps, "CONSTANTS", (("ftplib", "RENAMED_STEPS"),))

    with pytest.raises(AttributeError, match="ftplib has no RENAMED_STEPS"):
        image_steps.set_image_steps(4)
