"""Where the gateway's address and the key come from."""

from pathlib import Path

import pytest

from darkroom_client import Darkroom
from darkroom_client.errors import ConfigurationError
from darkroom_client.settings import DEFAULT_GATEWAY, Settings, config_path, load_settings, save_settings


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {"XDG_CONFIG_HOME": str(tmp_path)}


def test_gateway_on_this_machine_is_the_default(environment: dict[str, str]) -> None:
    assert load_settings(environment=environment) == Settings(DEFAULT_GATEWAY, None)


def test_arguments_win_over_environment_over_file(environment: dict[str, str]) -> None:
    path = config_path(environment)
    save_settings(Settings("https://stored.example", "stored-key"), path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_settings(environment=environment) == Settings("https://stored.example", "stored-key")
    environment |= {"DARKROOM_API_KEY": "key-of-environment"}
    assert load_settings(environment=environment) == Settings("https://stored.example", "key-of-environment")
    environment |= {"DARKROOM_GATEWAY_URL": "http://environment:8000/"}
    assert load_settings(environment=environment).gateway == "http://environment:8000"
    assert load_settings("http://given/darkroom/", environment=environment).gateway == "http://given/darkroom"


def test_stored_key_is_not_sent_to_another_gateway(environment: dict[str, str]) -> None:
    save_settings(Settings("https://stored.example", "stored-key"), config_path(environment))
    assert load_settings("https://other.example", environment=environment).api_key is None
    assert load_settings("https://stored.example/", environment=environment).api_key == "stored-key"


def test_scheme_in_capitals_is_the_same_gateway(environment: dict[str, str]) -> None:
    save_settings(Settings("https://stored.example", "stored-key"), config_path(environment))
    found = load_settings("HTTPS://stored.example", environment=environment)
    assert found == Settings("https://stored.example", "stored-key")


def test_empty_variables_count_as_unset(environment: dict[str, str]) -> None:
    save_settings(Settings("https://stored.example", "stored-key"), config_path(environment))
    environment |= {"DARKROOM_GATEWAY_URL": "", "DARKROOM_API_KEY": ""}
    assert load_settings(environment=environment) == Settings("https://stored.example", "stored-key")


def test_empty_argument_is_no_key(environment: dict[str, str]) -> None:
    assert load_settings(api_key="", environment={**environment, "DARKROOM_API_KEY": "key"}).api_key is None


@pytest.mark.parametrize("address", ["http://h:abc", "http://h:70000", "http://[::1", "http://a..b", "http://a\tb"])
def test_unusable_address_is_named(address: str) -> None:
    with pytest.raises(ConfigurationError, match="is no address of a gateway"):
        Darkroom(address)


@pytest.mark.parametrize("address", ["localhost:18000", "127.0.0.1:18000", "[::1]:18000", "a.localhost"])
def test_address_on_this_machine_needs_no_scheme(environment: dict[str, str], address: str) -> None:
    assert load_settings(address, environment=environment).gateway == f"http://{address}"


def test_key_that_is_stored_for_an_address_without_scheme_belongs_to_it(environment: dict[str, str]) -> None:
    save_settings(Settings("localhost:18000", "stored-key"), config_path(environment))
    found = load_settings("http://localhost:18000", environment=environment)
    assert found == Settings("http://localhost:18000", "stored-key")


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_key_that_others_can_read_is_refused(environment: dict[str, str], mode: int) -> None:
    path = config_path(environment)
    save_settings(Settings(api_key="stored-key"), path)
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match=f"chmod 600 {path}"):
        load_settings(environment=environment)


def test_saved_settings_replace_a_file_that_others_can_read(environment: dict[str, str]) -> None:
    path = config_path(environment)
    path.parent.mkdir(parents=True)
    path.write_text('gateway = "http://old"')
    path.chmod(0o644)
    save_settings(Settings("http://new", 'quo"te'), path)
    assert load_settings(environment=environment) == Settings("http://new", 'quo"te')


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ("gateway = ", "is not valid TOML"),
        ("gateway = 8000", r"gateway in .*config\.toml must be a text in quotes"),
        ('gateway = "gpu:8000"', "'gpu:8000' has no scheme. Write https://gpu:8000, or http://gpu:8000 if"),
        ('gateway = "http://user:key@host"', "no user name"),
    ],
)
def test_unusable_settings_are_named(environment: dict[str, str], stored: str, message: str) -> None:
    path = config_path(environment)
    path.parent.mkdir(parents=True)
    path.write_text(stored)
    with pytest.raises(ConfigurationError, match=message):
        load_settings(environment=environment)


def test_key_with_a_line_break_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="Copy it again"):
        load_settings(api_key="secret\nkey", environment={})


def test_settings_do_not_show_the_key() -> None:
    assert "secret" not in repr(Settings(api_key="secret"))
