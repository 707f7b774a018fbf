"""The environment of the local cluster's components."""

from dataclasses import replace
from pathlib import Path

import pytest

from darkroom_gateway.settings import BusyPolicy, WebhookAddresses
from darkroom_gateway.settings import Settings as GatewaySettings
from darkroom_gateway.webhooks.signing import SigningSecrets
from darkroom_local.cluster.components import (
    Layout,
    gateway_program,
    operator_program,
    write_runner_template,
    write_webhook_secrets,
)
from darkroom_local.node.settings import TAINT
from darkroom_local.state.settings import ClusterSettings, Ports, choose_credentials
from darkroom_local.state.state_dir import StateDir
from darkroom_local.up import UpOptions, gateway_environment, operator_environment
from darkroom_operator.settings import Settings as OperatorSettings


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(
        state=StateDir(tmp_path),
        settings=ClusterSettings(Ports(*range(9000, 9006)), choose_credentials()),
        namespace="studio",
        node_name="here",
        bin_dir=tmp_path,
        model_root=tmp_path,
    )


def test_runner_pods_tolerate_the_taint_of_the_local_node(layout: Layout) -> None:
    write_runner_template(layout)

    settings = OperatorSettings.from_environment(operator_program(layout).environment)

    [toleration] = settings.runner_template["spec"]["tolerations"]
    assert (toleration["key"], toleration["effect"], toleration["operator"]) == (
        TAINT["key"],
        TAINT["effect"],
        "Exists",
    )
    assert TAINT == {"key": "darkroom.dev/local-node", "effect": "NoSchedule"}


@pytest.mark.parametrize("policy", BusyPolicy)
def test_chosen_settings_reach_the_gateway(layout: Layout, policy: BusyPolicy) -> None:
    layout = replace(layout, gateway_environment={"DARKROOM_BUSY_POLICY": policy.value})

    settings = GatewaySettings.from_environment(gateway_program(layout).environment)

    assert (settings.busy_policy, settings.namespace, settings.port) == (policy, "studio", 9005)


def test_gateway_signs_webhooks_with_a_secret_of_the_cluster_for_any_address(layout: Layout) -> None:
    write_webhook_secrets(layout)

    settings = GatewaySettings.from_environment(gateway_program(layout).environment)

    assert settings.webhook_addresses is WebhookAddresses.ANY
    assert settings.webhook_secrets is not None
    assert settings.webhook_secrets.stat().st_mode & 0o777 == 0o600
    assert len(SigningSecrets(settings.webhook_secrets).keys()) == 1


def test_allowed_hosts_come_from_the_environment_of_darkroom_up(layout: Layout, tmp_path: Path) -> None:
    options = UpOptions(tmp_path)
    chosen = gateway_environment(options, {"DARKROOM_GATEWAY_ALLOWED_HOSTS": "me.tunnel.example", "OTHER": "x"})
    layout = replace(layout, gateway_environment=chosen)

    settings = GatewaySettings.from_environment(gateway_program(layout).environment)

    assert settings.allowed_hosts == ("me.tunnel.example",)
    assert gateway_environment(options, {"DARKROOM_GATEWAY_ALLOWED_HOSTS": ""}) == {"DARKROOM_BUSY_POLICY": "Queue"}


def test_darkroom_up_runs_the_gateway_program_of_the_image(layout: Layout) -> None:
    """With the same HTTP protocol and event loop: see gateway/darkroom_gateway/http/server.py."""
    assert list(gateway_program(layout).command)[-2:] == ["-m", "darkroom_gateway.main"]


def test_chosen_warm_seconds_reach_the_operator(layout: Layout, tmp_path: Path) -> None:
    write_runner_template(layout)
    chosen = operator_environment(UpOptions(tmp_path, warm_seconds=2.5))

    settings = OperatorSettings.from_environment(
        operator_program(replace(layout, operator_environment=chosen)).environment
    )

    assert settings.warm_seconds == 2.5
    assert operator_environment(UpOptions(tmp_path)) == {}
