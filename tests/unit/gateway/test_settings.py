"""Settings from the environment; unusable values end the process with a message."""

from typing import Any

import pytest

from darkroom_gateway.errors import SettingsError
from darkroom_gateway.redis.progress_streams import ProgressStreams
from darkroom_gateway.settings import BusyPolicy, Settings


def test_empty_environment_gives_the_defaults() -> None:
    assert Settings.from_environment({"DARKROOM_GATEWAY_PORT": "", "DARKROOM_NAMESPACE": ""}) == Settings()


def test_variables_are_read() -> None:
    settings = Settings.from_environment(
        {"DARKROOM_GATEWAY_PORT": "80", "DARKROOM_NAMESPACE": "studio", "DARKROOM_GATEWAY_LINK_SECONDS": "60"}
    )

    assert (settings.port, settings.namespace, settings.link_seconds) == (80, "studio", 60)


@pytest.mark.parametrize("value", ["-1", "http", "65536", "1.5", "80.0", "+80", " 80", "8_0", "٣"])
def test_invalid_port_is_named(value: str) -> None:
    with pytest.raises(SettingsError, match="DARKROOM_GATEWAY_PORT"):
        Settings.from_environment({"DARKROOM_GATEWAY_PORT": value})


@pytest.mark.parametrize("name", ["HEADER_SECONDS", "BODY_SECONDS", "KEEP_ALIVE_SECONDS", "WRITE_SECONDS"])
def test_time_limits_of_connections_are_whole_seconds(name: str) -> None:
    with pytest.raises(SettingsError, match=f"DARKROOM_GATEWAY_{name} is '1.5': use a whole number from 1 to"):
        Settings.from_environment({f"DARKROOM_GATEWAY_{name}": "1.5"})


def test_invalid_busy_policy_is_named_with_the_valid_ones() -> None:
    assert Settings.from_environment({"DARKROOM_BUSY_POLICY": "Reject"}).busy_policy is BusyPolicy.REJECT
    with pytest.raises(SettingsError, match="DARKROOM_BUSY_POLICY is 'reject': use Queue or Reject"):
        Settings.from_environment({"DARKROOM_BUSY_POLICY": "reject"})


def test_links_live_at_most_a_week() -> None:
    with pytest.raises(SettingsError, match="604800"):
        Settings.from_environment({"DARKROOM_GATEWAY_LINK_SECONDS": "604801"})


OPEN = {"DARKROOM_GATEWAY_OPEN_ACCESS": "true"}
KEYS = {"DARKROOM_GATEWAY_API_KEYS_DIR": "/etc/darkroom/api-keys"}


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost", "LocalHost"])
def test_gateway_on_loopback_needs_no_keys(host: str) -> None:
    settings = Settings.from_environment({"DARKROOM_GATEWAY_HOST": host})

    assert (settings.api_keys_dir, settings.open_access) == (None, False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "fe80::1", "gateway.example.org", "localhost.evil.org"])
def test_gateway_off_loopback_needs_keys_or_open_access(host: str) -> None:
    with pytest.raises(SettingsError, match=r"DARKROOM_GATEWAY_HOST.*API_KEYS_DIR.*OPEN_ACCESS=true.*loopback"):
        Settings.from_environment({"DARKROOM_GATEWAY_HOST": host})
    assert Settings.from_environment({"DARKROOM_GATEWAY_HOST": host, **OPEN}).open_access
    assert Settings.from_environment({"DARKROOM_GATEWAY_HOST": host, **KEYS}).api_keys_dir == "/etc/darkroom/api-keys"


def test_settings_object_checks_access_too() -> None:
    with pytest.raises(SettingsError, match="it has no API keys"):
        Settings(host="0.0.0.0")


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_keys_and_open_access_contradict_each_other(host: str) -> None:
    with pytest.raises(SettingsError, match=r"asks for keys and DARKROOM_GATEWAY_OPEN_ACCESS=true for none"):
        Settings.from_environment({"DARKROOM_GATEWAY_HOST": host, **KEYS, **OPEN})


@pytest.mark.parametrize("value", ["True", "1", "yes", "on", " true"])
def test_open_access_is_true_or_false(value: str) -> None:
    with pytest.raises(SettingsError, match=f"DARKROOM_GATEWAY_OPEN_ACCESS is '{value}': use true or false"):
        Settings.from_environment({"DARKROOM_GATEWAY_OPEN_ACCESS": value})


@pytest.mark.parametrize("value", ["0", "65536", "metrics"])
def test_invalid_metrics_port_is_named(value: str) -> None:
    with pytest.raises(SettingsError, match=f"DARKROOM_GATEWAY_METRICS_PORT is '{value}'.* from 1 to 65535"):
        Settings.from_environment({"DARKROOM_GATEWAY_METRICS_PORT": value})


def test_metrics_port_differs_from_the_port() -> None:
    assert Settings.from_environment({"DARKROOM_GATEWAY_METRICS_PORT": ""}).metrics_port is None
    with pytest.raises(SettingsError, match="DARKROOM_GATEWAY_METRICS_PORT and DARKROOM_GATEWAY_PORT are both 8000"):
        Settings.from_environment({"DARKROOM_GATEWAY_METRICS_PORT": "8000"})


@pytest.mark.parametrize("value", ["-1", "61", "1.5"])
def test_invalid_drain_is_named(value: str) -> None:
    with pytest.raises(SettingsError, match=f"DARKROOM_GATEWAY_DRAIN_SECONDS is '{value}'.* from 0 to 60"):
        Settings.from_environment({"DARKROOM_GATEWAY_DRAIN_SECONDS": value})


@pytest.mark.parametrize(
    ("name", "bounds"),
    [
        ("MAX_UPLOADS", "1 to 100"),
        ("DECODERS", "1 to 32"),
        ("PHOTO_MEMORY_MIB", "64 to 16384"),
        ("PHOTO_SECONDS", "1 to"),
    ],
)
def test_invalid_upload_limits_are_named(name: str, bounds: str) -> None:
    for value in ("0", "20000", "many"):
        with pytest.raises(SettingsError, match=f"DARKROOM_GATEWAY_{name} is '{value}'.* from {bounds}"):
            Settings.from_environment({f"DARKROOM_GATEWAY_{name}": value})


@pytest.mark.parametrize("value", ["TRACE", "NOTSET", "LOUD", "10"])
def test_log_levels_that_print_whole_requests_are_refused(value: str) -> None:
    assert Settings.from_environment({"DARKROOM_GATEWAY_LOG_LEVEL": "debug"}).log_level == "DEBUG"
    with pytest.raises(SettingsError, match=f"LOG_LEVEL is '{value}': use DEBUG, INFO, WARNING or ERROR"):
        Settings.from_environment({"DARKROOM_GATEWAY_LOG_LEVEL": value})


@pytest.mark.parametrize(
    "url",
    [
        "redis://:pass/word@redis:6379/0",
        "redis://:2024/word@redis:6379/0",
        "redis://:pass@word:secret",
        "word",
        "redis://a:word",
    ],
)
def test_invalid_redis_url_is_not_repeated(url: str) -> None:
    with pytest.raises(SettingsError, match="DARKROOM_REDIS_URL is not a Redis URL") as refusal:
        ProgressStreams(Settings(redis_url=url))
    assert "word@" not in str(refusal.value).replace("user:password@", "")
    assert refusal.value.__cause__ is None


def test_settings_show_no_password() -> None:
    assert "password" not in repr(Settings(redis_url="redis://:password@redis:6379/0"))


def test_missing_kubeconfig_ends_the_process(start_gateway: Any, environment: dict[str, str]) -> None:
    with (
        pytest.raises(AssertionError, match=r"can't connect to the cluster.*Set KUBECONFIG"),
        start_gateway({**environment, "KUBECONFIG": "/nowhere/kubeconfig"}),
    ):
        pytest.fail("it started")
