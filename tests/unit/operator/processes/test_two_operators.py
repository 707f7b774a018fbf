"""Two operators of one namespace: one is the leader, the other takes over. Real processes."""

import itertools
import time
from collections.abc import Callable
from pathlib import Path

from support.fault_proxy import Disturbance, FaultProxy
from support.kube_api import ApiServer
from support.operator_processes import Namespace, Node, wait_until
from support.server_process import Process
from support.waiting import first_within

from darkroom_local.kube.kubeconfig import write_kubeconfig

TAKEOVER_SECONDS = 10.0


class Pair:
    """The first is the leader, the second a candidate."""

    def __init__(self, namespace: Namespace, start: Callable[..., Process], **settings: str) -> None:
        self.namespace = namespace
        self.first = start(DARKROOM_OPERATOR_IDENTITY="first", **settings)
        wait_until(lambda: namespace.leader() == "first", "the first is the leader")
        self.second = start(DARKROOM_OPERATOR_IDENTITY="second", **settings)
        wait_until(lambda: "second is a candidate: first holds" in self.second.log(), "the second follows")

    def logs(self) -> str:
        return self.first.log() + self.second.log()


def test_another_operator_takes_over_within_ten_seconds_of_a_kill(
    namespace: Namespace, start_operator: Callable[..., Process]
) -> None:
    numbers = itertools.count(1)

    def seconds_until_taken_over() -> float:
        pair, number = Pair(namespace, start_operator), next(numbers)
        namespace.create_job(f"a-{number}", priority=1)
        namespace.create_job(f"b-{number}")
        running = namespace.wait_for_pod(f"a-{number}")
        pair.first.kill()
        killed = time.monotonic()
        namespace.finish_pod(running)
        following = namespace.wait_for_pod(f"b-{number}")
        seconds = time.monotonic() - killed
        assert namespace.leader() == "second"
        assert namespace.status(f"a-{number}")["attempts"] == 1
        namespace.finish_pod(following)
        pair.second.stop()
        return seconds

    assert first_within(TAKEOVER_SECONDS, seconds_until_taken_over) < TAKEOVER_SECONDS


def test_an_operator_that_is_stopped_hands_over_at_once_as_in_an_upgrade(
    namespace: Namespace, start_operator: Callable[..., Process]
) -> None:
    """Its term would last half a minute, with a renewal every six seconds; and a candidate tries every six."""
    term_seconds, retry_seconds = 30, 6
    pair = Pair(namespace, start_operator, DARKROOM_LEASE_SECONDS=str(term_seconds))
    namespace.create_job("a")
    running = namespace.wait_for_pod("a")
    namespace.create_job("b")
    stopped = time.monotonic()
    assert pair.first.stop() == 0
    assert namespace.leader() != "first"
    namespace.finish_pod(running)
    namespace.wait_for_pod("b")
    assert namespace.leader() == "second"
    assert time.monotonic() - stopped < term_seconds - retry_seconds


def test_a_leader_whose_watch_fails_gives_up_the_lease_and_exits(
    api_server: ApiServer, namespace: Namespace, start_operator: Callable[..., Process], tmp_path: Path
) -> None:
    """kopf ends at an error 500 inside of a watch."""
    kubeconfig = tmp_path / "proxy.yaml"
    with FailingWatches(api_server.url, seed=1, request_rate=0) as proxy:
        kubeconfig.write_text(write_kubeconfig(proxy.url, "a-token", namespace.name))
        settings = {"DARKROOM_OPERATOR_IDENTITY": "first", "DARKROOM_LEASE_SECONDS": "3600"}
        operator = start_operator(KUBECONFIG=str(kubeconfig), **settings)
        namespace.create_job("a")
        namespace.wait_for_pod("a")
        proxy.begin()
        namespace.create_job("b")
        wait_until(operator.ended, "it ends")
        assert operator.stop() == 1, operator.log()
        assert namespace.leader() is None


class FailingWatches(FaultProxy):
    """Once active, every watch fails at its next event, and nothing else does."""

    def _draw_disturbance(self) -> Disturbance | None:
        return None if self._calm.is_set() else Disturbance.ERROR


def test_a_leader_that_is_paused_again_and_again_does_no_harm_when_it_resumes(
    namespace: Namespace, start_operator: Callable[..., Process]
) -> None:
    pair = Pair(namespace, start_operator, DARKROOM_LEASE_SECONDS="2")
    for number in range(4):
        namespace.create_job(f"job-{number}")
    node = Node(namespace)
    for round_ in range(4):
        paused = pair.first if namespace.leader() == "first" else pair.second
        paused.pause()
        node.run_until(lambda round_=round_: namespace.count("Succeeded") > round_, "the other continues")
        paused.resume()
    node.run_until(namespace.all_succeeded, "all jobs succeed")
    assert node.most_at_once == 1
    assert len(node.started) == 4
    assert "first is a candidate: second holds" in pair.first.log()
    assert "Traceback" not in pair.logs()
