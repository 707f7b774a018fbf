"""The file of quotas: a default, and each key's own values; mistakes are named."""

from pathlib import Path

import pytest

from darkroom_gateway.errors import SettingsError
from darkroom_gateway.limits.quotas import Quota, Quotas, read_quotas
from darkroom_gateway.settings import Settings

TEXT = """
default: {unfinished: 20, perDay: 200}
keys:
  alice: {unfinished: 50, perDay: null}
  bob: {waiting: 0}
"""


def a_file(folder: Path, text: str) -> str:
    path = folder / "quotas.yaml"
    path.write_text(text)
    return str(path)


def test_own_values_of_a_key_replace_the_default(tmp_path: Path) -> None:
    quotas = read_quotas(a_file(tmp_path, TEXT))

    assert quotas.of("alice") == Quota(unfinished=50)
    assert quotas.of("bob") == Quota(unfinished=20, waiting=0, per_day=200)
    assert quotas.of("carol") == Quota(unfinished=20, per_day=200)


def test_empty_file_limits_nothing(tmp_path: Path) -> None:
    assert not read_quotas(a_file(tmp_path, "# none yet\n"))
    assert not Quotas()


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("default: {unfinshed: 3}", "default.unfinshed: Extra inputs"),
        ("default: {waiting: -1}", "default.waiting: Input should be greater"),
        ("default: {waiting: '3'}", "default.waiting: Input should be a valid integer"),
        ("keys: {'../x': {waiting: 1}}", "should match pattern"),
        ("- 3", "the file: Input should be"),
        ("default: {", "the file is not YAML"),
    ],
)
def test_mistake_is_named(tmp_path: Path, text: str, fault: str) -> None:
    with pytest.raises(SettingsError, match=f"DARKROOM_GATEWAY_QUOTAS is .*{fault}"):
        Settings.from_environment({"DARKROOM_GATEWAY_QUOTAS": a_file(tmp_path, text)})


def test_quotas_need_api_keys(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="name a folder of keys in DARKROOM_GATEWAY_API_KEYS_DIR"):
        Settings.from_environment({"DARKROOM_GATEWAY_QUOTAS": a_file(tmp_path, TEXT)})


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="can't be read: No such file"):
        Settings.from_environment({"DARKROOM_GATEWAY_QUOTAS": str(tmp_path / "none.yaml")})
