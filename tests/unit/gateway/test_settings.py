"""The environment, read once; what can't be used ends the process with a message."""

from typing import Any

import pytest

from darkroom_gateway.errors import SettingsError
from darkroom_gateway.settings import BusyPolicy, Settings


def test_an_empty_environment_gives_the_defaults() -> None:
    assert Settings.from_environment({"DARKROOM_GATEWAY_PORT": "", "DARKROOM_NAMESPACE": ""}) == Settings()


def test_variables_are_read() -> None:
    settings = Settings.from_environment(
        {"DARKROOM_GATEWAY_PORT": "80", "DARKROOM_NAMESPACE": "studio", "DARKROOM_GATEWAY_LINK_SECONDS": "60"}
    )

    assert (settings.port, settings.namespace, settings.link_seconds) == (80, "studio", 60)


@pytest.mark.parametrize("value", ["-1", "http", "65536", "1.5", "٣"])
def test_a_port_that_is_none_is_named(value: str) -> None:
    with pytest.raises(SettingsError, match="DARKROOM_GATEWAY_PORT"):
        Settings.from_environment({"DARKROOM_GATEWAY_PORT": value})


def test_a_busy_policy_that_is_none_is_named_with_those_that_are() -> None:
    assert Settings.from_environment({"DARKROOM_BUSY_POLICY": "Reject"}).busy_policy is BusyPolicy.REJECT
    with pytest.raises(SettingsError, match="DARKROOM_BUSY_POLICY is 'reject': use Queue or Reject"):
        Settings.from_environment({"DARKROOM_BUSY_POLICY": "reject"})


def test_links_live_at_most_a_week() -> None:
    with pytest.raises(SettingsError, match="604800"):
        Settings.from_environment({"DARKROOM_GATEWAY_LINK_SECONDS": "604801"})


def test_a_kubeconfig_that_is_not_there_ends_the_process(start_gateway: Any, environment: dict[str, str]) -> None:
    with (
        pytest.raises(AssertionError, match=r"no way to the cluster.*Set KUBECONFIG"),
        start_gateway({**environment, "KUBECONFIG": "/nowhere/kubeconfig"}),
    ):
        pytest.fail("it started")
