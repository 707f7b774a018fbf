"""Helm releases with Helm's own engine: install, upgrade, failure, rollback, uninstall.

Helm 4 uses server-side apply. It does not wait here: the embedded server has no controllers that make a Deployment
available.
"""

from collections.abc import Iterator
from typing import Any

import helm_python as helm
import pytest
from support.kube_api import Api, Json, ok, wait_until
from support.sample_chart import write_chart

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
NAMESPACED = (
    *("serviceaccounts", "configmaps", "secrets", "services", "resourcequotas", "deployments.apps/v1"),
    *("roles.rbac.authorization.k8s.io/v1", "rolebindings.rbac.authorization.k8s.io/v1"),
    *("ingresses.networking.k8s.io/v1", "networkpolicies.networking.k8s.io/v1"),
    *("poddisruptionbudgets.policy/v1", "horizontalpodautoscalers.autoscaling/v2"),
)
OF_THE_CLUSTER = (
    "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "/apis/scheduling.k8s.io/v1/priorityclasses",
)


@pytest.fixture
def config(api: Api) -> Iterator[helm.Config]:
    with helm.Config(kubeconfig_path=api.kubeconfig, namespace=api.namespace) as opened:
        yield opened


@pytest.fixture(scope="module")
def group(api: Api) -> Iterator[str]:
    """The API group of the chart's own kinds; removes what a test leaves behind."""
    name = f"{api.namespace}.example.com"
    yield name
    for plural in ("gadgets", "widgets"):
        api.http.delete(f"{DEFINITIONS}/{plural}.{name}")


@pytest.fixture(scope="module")
def chart(tmp_path_factory: pytest.TempPathFactory, group: str) -> str:
    return str(write_chart(tmp_path_factory.mktemp("chart"), group))


@pytest.fixture
def release(config: helm.Config, chart: str, name: str) -> Iterator[str]:
    """A release of the chart with its default values."""
    config.install(chart, name)
    yield name
    config.uninstall(name)


def settings(api: Api, name: str) -> Json:
    found: Json = api.read("configmaps", name)["data"]
    return found


def variables(api: Api, name: str) -> Json:
    """The environment of the Deployment's container."""
    container = api.read("deployments.apps/v1", name)["spec"]["template"]["spec"]["containers"][0]
    return {each["name"]: each["value"] for each in container["env"]}


def test_every_kind_is_installed_and_removed_except_kept_resources(
    api: Api, config: helm.Config, chart: str, group: str, name: str
) -> None:
    config.install(chart, name, {"everything": True, "size": 3})
    own = [api.path(plural, name) for plural in (*NAMESPACED, f"gadgets.{group}/v1")]
    own += [f"{path}/{name}" for path in OF_THE_CLUSTER]
    kept = [api.path("persistentvolumeclaims", name)]
    kept += [f"{DEFINITIONS}/{plural}.{group}" for plural in ("gadgets", "widgets")]
    for path in [*own, *kept]:
        ok(api.http.get(path))
    info = config.uninstall(name)["info"]
    assert f"[PersistentVolumeClaim] {name}" in info
    for path in own:
        wait_until(lambda path=path: api.http.get(path).status_code == 404, f"{path} is deleted")
    for path in kept:
        ok(api.http.get(path))
    config.install(chart, name, {"everything": True})  # Adopts the kept resources.
    config.uninstall(name)
    ok(api.delete("persistentvolumeclaims", name))


def test_upgrade_changes_only_fields_that_the_chart_changes(
    api: Api, config: helm.Config, chart: str, release: str
) -> None:
    ok(api.patch("configmaps", release, {"data": {"mine": "1"}}))
    config.upgrade(chart, release, {"level": "debug", "extra": True})
    assert settings(api, release) | {"level": "debug", "extra": "yes", "mine": "1"} == settings(api, release)
    assert variables(api, release) == {"LEVEL": "debug", "EXTRA": "yes"}
    config.upgrade(chart, release, {"level": "debug"})
    assert "extra" not in settings(api, release)
    assert settings(api, release)["mine"] == "1"
    assert variables(api, release) == {"LEVEL": "debug"}
    ports = api.read("deployments.apps/v1", release)["spec"]["template"]["spec"]["containers"][0]["ports"]
    assert [port["name"] for port in ports] == ["http", "metrics"]


def test_upgrade_does_not_take_over_fields_of_another_manager(
    api: Api, config: helm.Config, chart: str, release: str
) -> None:
    ok(api.patch("configmaps", release, {"data": {"level": "by hand"}}, fieldManager="ann"))
    with pytest.raises(helm.HelmReleaseError, match=r'conflict with "ann".*: \.data\.level'):
        config.upgrade(chart, release, {"level": "debug"})
    assert settings(api, release)["level"] == "by hand"


def test_failed_upgrade_is_reported_and_can_be_rolled_back(
    api: Api, config: helm.Config, chart: str, release: str
) -> None:
    config.upgrade(chart, release, {"level": "debug"})
    with pytest.raises(helm.HelmReleaseError, match="should be less than or equal to 10"):
        config.upgrade(chart, release, {"level": "worse", "size": 11})
    assert config.status(release)["status"] == "failed"
    config.rollback(release, version=2)
    assert settings(api, release)["level"] == "debug"
    history = [(each["revision"], each["status"]) for each in config.history(release)]
    assert history == [(1, "superseded"), (2, "superseded"), (3, "failed"), (4, "deployed")]


def test_generated_key_is_kept(api: Api, config: helm.Config, chart: str, release: str) -> None:
    key = api.read("secrets", release)["data"]["key"]
    config.upgrade(chart, release, {"level": "debug"})
    assert api.read("secrets", release)["data"]["key"] == key


def test_charts_see_the_served_kinds(api: Api, release: str) -> None:
    found = settings(api, release)
    assert (found["gadgets"], found["routes"]) == ("true", "false")


def test_hooks_run_at_each_revision(api: Api, config: helm.Config, chart: str, release: str) -> None:
    assert settings(api, f"{release}-before") == {"revision": "1"}
    config.upgrade(chart, release)
    assert settings(api, f"{release}-before") == {"revision": "2"}


def test_dry_run_writes_nothing(api: Api, config: helm.Config, chart: str, release: str) -> None:
    planned: Any = config.upgrade(chart, release, {"level": "debug"}, dry_run="server")
    assert "level: debug" in planned["manifest"]
    assert settings(api, release)["level"] == "info"
    assert [each["revision"] for each in config.history(release)] == [1]
    assert [each["name"] for each in config.list(name_filter=release)] == [release]
