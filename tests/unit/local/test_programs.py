"""What the parts of the local cluster are told by their environment."""

from pathlib import Path

import pytest

from darkroom_gateway.settings import BusyPolicy
from darkroom_gateway.settings import Settings as GatewaySettings
from darkroom_local.programs import Layout, gateway_program
from darkroom_local.state import Credentials, Ports, Settings, StateDir


@pytest.mark.parametrize("policy", BusyPolicy)
def test_settings_of_the_gateway_that_somebody_chose_reach_it(tmp_path: Path, policy: BusyPolicy) -> None:
    layout = Layout(
        state=StateDir(tmp_path),
        settings=Settings(Ports(*range(9000, 9006)), Credentials("token", "access", "secret", "password")),
        namespace="studio",
        node_name="here",
        bin_dir=tmp_path,
        model_root=tmp_path,
        gateway_environment={"DARKROOM_BUSY_POLICY": policy.value},
    )

    told = GatewaySettings.from_environment(gateway_program(layout).environment)

    assert (told.busy_policy, told.namespace, told.port) == (policy, "studio", 9005)
