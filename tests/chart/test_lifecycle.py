"""A release from installation to uninstallation, on a local API server that enforces RBAC.

Helm's own engine replaces the command. The release's Deployments run as processes, with exactly their ServiceAccounts
and variables; the test acts as the node of the runs.
"""

import base64
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import helm_python
import httpx
import pytest
import yaml
from support.chart import CHART, Json, rendered
from support.installation import NAMESPACE, RELEASE, Installation, Programs
from support.kube_api import ok, refused, wait_until
from support.operator_processes import now
from support.promql import OF_THE_TARGET, exposed, questions
from support.recording_api import allows
from support.webhook_receiver import receiving

from darkroom_contract.names import Kind
from darkroom_contract.remarks import Remark, RemarkReason

REMARK = Remark(reason=RemarkReason.PROMPT_TRUNCATED, message="The prompt was cut after 75 tokens.")
WEBHOOKS = {"webhooks": {"addresses": "Any"}}
"""The receiver of the test has no public address."""
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with Installation(tmp_path_factory.mktemp("cluster")).running() as opened:
        yield opened


@pytest.fixture
def installation(cluster: Installation) -> Iterator[Installation]:
    """Nothing is installed yet."""
    yield cluster
    cluster.clear()


def submit(client: httpx.Client, prompt: str, **parameters: Any) -> str:
    """The name of a job that was accepted."""
    answer = client.post("/generate/sdxl", params={"prompt": prompt, **parameters})
    assert answer.status_code == 202, answer.text
    name: str = answer.json()["task_id"]
    return name


@dataclass
class Story:
    """A release with one running and two waiting jobs."""

    installation: Installation
    key: str
    before: Json
    """The Deployments' specs before the upgrade."""
    programs: Programs
    pod: Json
    """The pod of the running job."""
    running: str
    waiting: str
    unwanted: str


def test_jobs_outlive_upgrade_rollback_and_uninstall(installation: Installation) -> None:
    # A receiver that wants no more: the gateway sends one webhook, and shows an Event that it gave up.
    with receiving(lambda _: 410) as receiver:
        story = given_a_release_with_jobs(installation, receiver.url)
        when_upgraded_the_run_is_untouched(story)
        then_the_next_run_has_the_new_settings(story)
        when_rolled_back_during_that_run_it_continues(story)
        wait_until(lambda: "job.succeeded" in receiver.types, "the webhook is sent")
    wait_until(lambda: any("410" in each for each in event_messages(installation)), "an Event shows its failure")

    # And `helm test` passes, and all requests are covered by the Roles.
    assert "GET /jobs: 200, as expected" in ask_gateway(story.programs)
    story.programs.stop()
    assert_rights_fit(installation)

    # When it is uninstalled, then jobs, CRDs, keys and models stay, and a new release adopts them.
    installation.config.uninstall(RELEASE)
    assert deployments(installation) == {}
    assert installation.api.exists("persistentvolumeclaims", f"{RELEASE}-models")
    installation.install()
    left = {job["metadata"]["name"]: job["status"]["phase"] for job in installation.jobs.jobs()}
    assert left == {story.running: "Succeeded", story.waiting: "Succeeded"}
    assert installation.key() == story.key


def given_a_release_with_jobs(installation: Installation, webhook: str) -> Story:
    """Pods on a node that does not exist are deleted after 40 s, so there is a node."""
    jobs = installation.jobs
    ok(installation.api.http.post("/api/v1/nodes", json={"metadata": {"name": "here"}}), 201)
    installation.install(gateway=WEBHOOKS)
    key, before = installation.key(), deployments(installation)
    programs = installation.start()
    with programs.client(key) as user:
        running = submit(user, "a red circle", webhook=webhook)
        waiting, unwanted = (submit(user, f"a {colour} circle") for colour in ("green", "blue"))
    pod = jobs.wait_for_pod(running)
    jobs.run_pod(pod)
    jobs.wait_for_phase(running, "Running")
    return Story(installation, key, before, programs, pod, running, waiting, unwanted)


def when_upgraded_the_run_is_untouched(story: Story) -> None:
    """By a rolling update, new pods first."""
    installation, first = story.installation, story.programs
    runner = {"gpu": {"count": 0}, "labels": {"team": "blue"}}
    installation.upgrade(runner=runner, gateway={"busyPolicy": "Reject", **WEBHOOKS})
    assert deployments(installation) != story.before
    story.programs = installation.start()
    first.stop()
    assert [each["metadata"]["uid"] for each in installation.jobs.active_pods()] == [story.pod["metadata"]["uid"]]


def then_the_next_run_has_the_new_settings(story: Story) -> None:
    jobs = story.installation.jobs
    with story.programs.client(story.key) as user:
        assert user.post("/generate/sdxl", params={"prompt": "a white moon"}).status_code == 409
        assert user.delete(f"/jobs/{story.unwanted}").status_code == 204
    jobs.finish_pod(story.pod, REMARK)
    jobs.wait_for_phase(story.running, "Succeeded")
    wait_until(lambda: REMARK.message in event_messages(story.installation), "an Event shows the remark of the run")
    story.pod = jobs.wait_for_pod(story.waiting)
    assert story.pod["metadata"]["labels"]["team"] == "blue"
    jobs.run_pod(story.pod)
    jobs.wait_for_phase(story.waiting, "Running")
    progress = {"stage": "Denoising", "step": 1, "total": 4, "lastUpdatedTime": now()}
    jobs.set_job_status(story.waiting, progress=progress)
    assert_measured(story.programs)


def when_rolled_back_during_that_run_it_continues(story: Story) -> None:
    """The Deployments are as before, and a job that expires at once is deleted."""
    installation, jobs = story.installation, story.installation.jobs
    installation.config.rollback(RELEASE)
    assert deployments(installation) == story.before
    jobs.finish_pod(story.pod)
    jobs.wait_for_phase(story.waiting, "Succeeded")
    with story.programs.client(story.key) as user:
        brief = submit(user, "a black sun", ttl_seconds_after_finished=0)
    jobs.run_pod(brief_pod := jobs.wait_for_pod(brief))
    jobs.finish_pod(brief_pod)
    wait_until(lambda: not jobs.exists(Kind.GENERATE.plural, brief), "the expired job is deleted")


def event_messages(installation: Installation) -> list[str]:
    found = ok(installation.api.http.get(f"/api/v1/namespaces/{NAMESPACE}/events"))["items"]
    return [each["message"] for each in found]


def deployments(installation: Installation) -> Json:
    """Specs of the Deployments by name."""
    found = ok(installation.api.http.get(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"))["items"]
    return {each["metadata"]["name"]: each["spec"] for each in found}


def ask_gateway(programs: Programs) -> str:
    """Output of the script that the `helm test` pod runs."""
    keys = programs.gateway.environment["DARKROOM_GATEWAY_API_KEYS_DIR"]
    environment = {"GATEWAY_HOST": "127.0.0.1", "GATEWAY_PORT": str(programs.port), "KEYS_DIR": keys}
    done = subprocess.run(
        [sys.executable, CHART / "files" / "ask_gateway.py"],
        env={"PATH": os.defpath, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def assert_measured(programs: Programs) -> None:
    """All metrics and labels of alerts and dashboard exist while a run reports progress."""
    wait_until(lambda: "darkroom_progress_age_seconds" in programs.metrics()[1], "the operator has seen the progress")
    there = exposed(*programs.metrics())
    for question in questions(rendered("typical")):
        assert question.metrics() <= there.keys(), question.owner
        labels = set().union(*(there[name] for name in question.metrics()))
        assert question.labels() - OF_THE_TARGET <= labels, question.owner
    assert 'status="4xx"' in programs.metrics()[0]  # So failures have the class `5xx`, as alerts expect.


def assert_rights_fit(installation: Installation) -> None:
    """No request was forbidden, every request was covered by a Role, and every rule was used."""
    for component in ("operator", "gateway"):
        rules = installation.api.read("roles.rbac.authorization.k8s.io/v1", f"{RELEASE}-{component}")["rules"]
        entries = list(installation.log.of(f"system:serviceaccount:{NAMESPACE}:{RELEASE}-{component}"))
        assert [entry for entry in entries if entry.status in (401, 403)] == []
        accesses = {entry.access for entry in entries if entry.access is not None}
        assert [access for access in accesses if not any(allows(rule, access) for rule in rules)] == []
        assert [rule for rule in rules if not any(allows(rule, access) for access in accesses)] == []


def test_upgrade_installs_new_crds(installation: Installation, tmp_path: Path) -> None:
    older = tmp_path / "darkroom"
    shutil.copytree(CHART, older)
    file = older / "files" / "crds" / f"{Kind.TRAIN.crd_name}.yaml"
    document = yaml.safe_load(file.read_text(encoding="utf-8"))
    columns = document["spec"]["versions"][0]["additionalPrinterColumns"]
    taken = columns.pop()
    file.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    installation.install(older)
    assert taken not in printer_columns(installation)
    installation.upgrade()
    assert taken in printer_columns(installation)


def printer_columns(installation: Installation) -> list[Json]:
    found = ok(installation.api.http.get(f"{CRDS}/{Kind.TRAIN.crd_name}"))
    columns: list[Json] = found["spec"]["versions"][0]["additionalPrinterColumns"]
    return columns


@pytest.mark.parametrize("component", ["gateway", "operator"])
def test_manual_scaling_blocks_an_upgrade_until_the_documented_fix(installation: Installation, component: str) -> None:
    """docs/operations/upgrade.md, "After kubectl scale, patch or edit"."""
    installation.install()
    scale_by_hand(installation, component, 3)

    with pytest.raises(helm_python.HelmError, match=r'conflict with "kubectl": .spec.replicas'):
        installation.upgrade()
    assert replicas(installation, component) == 3

    installation.upgrade(**{component: {"replicas": 3}})
    assert replicas(installation, component) == 3
    scale_by_hand(installation, component, 4)
    installation.upgrade(**{component: {"replicas": None}})
    assert replicas(installation, component) == 4
    installation.upgrade(**{component: {"replicas": None}, "models": {"baseModel": "another"}})
    assert replicas(installation, component) == 4
    installation.upgrade_by_force(**{component: {"replicas": 2}})
    assert replicas(installation, component) == 2
    installation.upgrade(**{component: {"replicas": 1}})
    assert replicas(installation, component) == 1


def scale_by_hand(installation: Installation, component: str, number: int) -> None:
    """As `kubectl scale` does, or an autoscaler under its own field manager."""
    path = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{RELEASE}-{component}?fieldManager=kubectl"
    headers = {"Content-Type": "application/merge-patch+json"}
    ok(installation.api.http.patch(path, json={"spec": {"replicas": number}}, headers=headers))


def replicas(installation: Installation, component: str) -> int:
    found: int = deployments(installation)[f"{RELEASE}-{component}"]["replicas"]
    return found


def test_upgrade_and_rollback_keep_the_user_s_api_keys(installation: Installation) -> None:
    """Neither an upgrade nor a rollback restores a key that was removed."""
    release = installation.install()
    made = installation.key()
    assert made not in release["manifest"]
    assert base64.b64encode(made.encode()).decode() not in release["manifest"]
    new = {"data": {"default": None}, "stringData": {"ann": "a key of twenty letters"}}
    ok(installation.api.patch("secrets", f"{RELEASE}-api-keys", new))
    installation.upgrade(gateway={"busyPolicy": "Reject"})
    installation.config.rollback(RELEASE)
    secret = installation.api.read("secrets", f"{RELEASE}-api-keys")
    assert set(secret["data"]) == {"ann"}
    assert len(made) == 40


def test_quota_admits_one_run(installation: Installation) -> None:
    installation.install(runner={"priorityClass": {"create": True}}, quota={"enabled": True})
    first, second = (installation.api.create("pods", a_pod(name)) for name in ("first", "second"))
    ok(first, 201)
    assert "exceeded quota: darkroom-runner, requested: pods=1, used: pods=1" in refused(second, 403, "Forbidden")
    ok(installation.api.create("pods", a_pod("foreign", priorityClassName="")), 201)


def a_pod(name: str, **spec: Any) -> Json:
    """A pod with the runners' PriorityClass."""
    container = {"name": "c", "image": "x"}
    return {
        "metadata": {"name": name},
        "spec": {"priorityClassName": "darkroom-runner", "containers": [container], **spec},
    }


def test_second_release_in_a_namespace_is_rejected(installation: Installation) -> None:
    installation.install()
    with pytest.raises(
        helm_python.HelmError, match=r"already has Darkroom, .* of release .darkroom.: only one release"
    ):
        installation.install(name="another", crds={"enabled": False})
