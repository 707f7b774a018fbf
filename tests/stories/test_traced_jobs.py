"""A trace goes from the request through the queue into the run; a warm runner continues that of its next job."""

import contextlib
import secrets
from pathlib import Path

from support.darkroom_up import Darkroom, wait_for
from support.otlp_receiver import OtlpReceiver
from support.warm_parent.installation import WarmParent

RUN = ("run", "download", "load", "work", "upload")
PROMPT = "a secret dog"


def submit(darkroom: Darkroom, trace_id: str) -> str:
    query = {"prompt": PROMPT, "steps": 2, "width": 64, "height": 64}
    headers = {"traceparent": f"00-{trace_id}-{secrets.token_hex(8)}-01"}
    answer = darkroom.http.post("/generate/sdxl", params=query, headers=headers)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["task_id"])


def has_succeeded(darkroom: Darkroom, name: str) -> bool:
    phase = darkroom.http.get(f"/jobs/{name}").json()["phase"]
    assert phase != "Failed"
    return bool(phase == "Succeeded")


def test_trace_of_a_request_goes_into_the_run(tmp_path: Path, warm_cluster: WarmParent) -> None:
    traces = [secrets.token_hex(16) for _ in range(2)]
    with OtlpReceiver() as receiver:
        darkroom = Darkroom(
            tmp_path, warm_cluster.python, program=warm_cluster.darkroom, environment=receiver.environment
        )
        with contextlib.closing(darkroom):
            darkroom.start()
            names = [submit(darkroom, trace_id) for trace_id in traces]
            wait_for(lambda: all(has_succeeded(darkroom, name) for name in names), "both jobs succeed")
            received = [receiver.wait_for(each, "create job", "queue", "start", *RUN) for each in traces]

    for name, spans in zip(names, received, strict=True):
        assert {spans[each].service for each in ("create job", "queue", "run")} == {
            *("darkroom-gateway", "darkroom-operator", "darkroom-runner")
        }
        created = spans["create job"]
        assert spans["POST /generate/sdxl"].span_id == created.parent_id
        assert {spans[each].parent_id for each in ("queue", "start", "run")} == {created.span_id}
        assert {spans[each].parent_id for each in RUN[1:]} == {spans["run"].span_id}
        assert spans["run"].attributes["darkroom.job.name"] == name
        assert sum(spans[each].seconds for each in RUN[1:]) <= spans["run"].seconds
    assert [spans["start"].attributes["darkroom.run.start"] for spans in received] == ["Cold", "Warm"]
    assert not [each for each in receiver.spans if "secret" in str(each)]
