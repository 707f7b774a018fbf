"""`helm test` on the local node: the hook's pod runs, and Helm reads its outcome and log."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import helm_python as helm
import pytest
from support.sample_chart import write_chart

RELEASE = "sample"
POD = f"{RELEASE}-test"
SECONDS = 60


@pytest.fixture
def config(api: Any, node: Any, tmp_path: Path) -> Iterator[helm.Config]:
    with helm.Config(kubeconfig_path=api.kubeconfig, namespace=api.namespace) as opened:
        opened.install(str(write_chart(tmp_path, f"{api.namespace}.example.com")), RELEASE)
        yield opened
        opened.uninstall(RELEASE)


def run_tests(config: helm.Config, api: Any, node: Any, wait: Any) -> Any:
    """Run `helm test`, and bind the hook's pod: the node's scheduler binds runner pods only."""
    with ThreadPoolExecutor(1) as helm_thread:
        done = helm_thread.submit(config.test, RELEASE, timeout=SECONDS, logs=True)
        wait(lambda: api.pod(POD), "the hook's pod exists")
        binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": POD}, "target": {"name": node.name}}
        api.request("POST", f"/api/v1/namespaces/{api.namespace}/pods/{POD}/binding", json=binding)
        return done.result(timeout=SECONDS)


def test_a_passing_test_is_reported_and_its_pod_deleted(config: helm.Config, api: Any, node: Any, wait: Any) -> None:
    node.program("check", "import sys; print('checked', sys.argv[1])")
    done = run_tests(config, api, node, wait)
    assert "checked sample" in done["logs"]
    wait(lambda: api.pod(POD) is None, "the hook's pod is gone")


def test_a_failing_test_is_reported(config: helm.Config, api: Any, node: Any, wait: Any) -> None:
    node.program("check", "raise SystemExit(3)")
    with pytest.raises(helm.HelmReleaseError, match=f"{POD}.*failed"):
        run_tests(config, api, node, wait)
