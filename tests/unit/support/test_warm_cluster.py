"""The stories' clusters start their parts as forks, which have the libraries loaded."""

import resource
import subprocess

import pytest
from support.warm_parent.installation import WarmParent

from darkroom_local.cluster import components


@pytest.mark.parametrize("package", ["darkroom_gateway", "darkroom_operator", "darkroom_local.apiserver"])
def test_part_of_a_cluster_is_forked(warm_cluster: WarmParent, package: str) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)

    # Without settings each ends with an error, once it has imported everything.
    command = [str(warm_cluster.forking_python), "-m", f"{package}.main" if "local" not in package else package]
    ended = subprocess.run(command, env=components._minimal_environment(), capture_output=True, text=True, timeout=240)

    assert ended.returncode != 0
    assert ended.stderr.startswith(("darkroom-", "usage: ")), ended.stderr
    used = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before.ru_utime
    assert used < 0.5, "it was a new interpreter"
