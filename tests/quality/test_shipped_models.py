"""The shipped models are small and contain nothing that runs code when loaded."""

from pathlib import Path

from darkroom_tiny.export import size_bytes


def test_both_models_together_are_small_enough_to_be_cloned(models: Path) -> None:
    assert 0 < size_bytes(models) < 25_000_000


def test_weights_are_safetensors_only(models: Path) -> None:
    kinds = {path.suffix for path in models.rglob("*") if path.is_file()}
    assert kinds == {".safetensors", ".json", ".md"}


def test_every_file_is_readable_by_everybody(models: Path) -> None:
    unreadable = [path for path in models.rglob("*") if not path.stat().st_mode & 0o004]
    assert unreadable == []


def test_no_file_contains_a_build_path(models: Path) -> None:
    found = [path for path in models.rglob("*.json") if "_name_or_path" in path.read_text(encoding="utf-8")]
    assert found == []
