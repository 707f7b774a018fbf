"""An operator with the CRDs of an older release, which drop unknown status fields."""

from support.operator_snapshots import a_progress_event
from support.simulated_api import SimulatedApi
from support.simulated_node import SimulatedNode
from support.simulated_operator import SimulatedOperator
from support.simulated_user import GENERATE, SimulatedUser

from darkroom_contract.progress import FinishedImage

NEW_FIELDS = frozenset({"admissionOrder", "runStartTime", "interruptions", "savedStep", "remarks", "finishedImages"})
IMAGE = FinishedImage(seed=0, bytes=3, sha256="0" * 64)


def stage() -> tuple[SimulatedApi, SimulatedUser, SimulatedNode, SimulatedOperator]:
    api = SimulatedApi(dropped=NEW_FIELDS)
    return api, SimulatedUser(api), SimulatedNode(api), SimulatedOperator(api)


def test_it_becomes_idle_and_writes_nothing_twice() -> None:
    api, user, node, operator = stage()
    for number in range(20):
        user.create(f"waiting-{number:02}", suspend=number % 2 == 0)
    operator.rest()
    [pod] = node.live()
    node.start(pod)
    operator.rest()
    sent = operator.kube.sent
    for _ in range(5):
        api.pass_time(1)
        operator.rest()
    assert operator.kube.sent == sent


def test_finished_images_are_not_written_again_and_again() -> None:
    api, user, node, operator = stage()
    user.create("a")
    operator.rest()
    [pod] = node.live()
    node.start(pod)
    operator.rest()
    uid = api.get(GENERATE, "a")["metadata"]["uid"]
    operator.cache.progress[uid] = a_progress_event(finished_images=(IMAGE,))
    operator.rest()
    assert api.get(GENERATE, "a")["status"]["progress"]["step"] == 3
    node.finish(pod)
    operator.rest()
    assert api.get(GENERATE, "a")["status"]["phase"] == "Succeeded"


def test_a_run_is_still_stopped_at_its_deadline() -> None:
    api, user, node, operator = stage()
    user.create("a", activeDeadlineSeconds=60)
    operator.rest()
    [pod] = node.live()
    node.start(pod)
    operator.rest()
    assert "runStartTime" not in api.get(GENERATE, "a")["status"]
    api.pass_time(61)
    operator.rest()
    node.remove_deleted()
    operator.rest()
    assert api.get(GENERATE, "a")["status"]["phase"] == "Failed"
