"""The pod of a run: job, attempt, slot and settings in, manifest out. Pure."""

import hashlib
import json
from datetime import UTC, datetime
from importlib.metadata import version

from darkroom_contract import environment, names
from darkroom_contract.handover import ANNOTATION_TEMPLATE
from darkroom_contract.jobs import Job
from darkroom_contract.names import API_VERSION, RUNNER_CONTAINER
from darkroom_contract.runs import RunDocument
from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_contract.status import JobStatus
from darkroom_operator.kube.objects import Json
from darkroom_operator.kube.strategic_merge import merge
from darkroom_operator.pods.layout import SCRATCH_DIR, SCRATCH_VOLUME, TERMINATION_LOG
from darkroom_operator.pods.runner_pod import GATE, LABEL_SLOT
from darkroom_operator.pods.warm_environment import handover_mount, handover_variables, handover_volume
from darkroom_operator.settings import Settings

COMMAND = "darkroom-runner"
MANAGER = "darkroom-operator"
HASH_DIGITS = 16
USER_ID = 65532
"""`nonroot` in distroless images."""
POD_SECURITY: Json = {
    "runAsNonRoot": True,
    "runAsUser": USER_ID,
    "runAsGroup": USER_ID,
    "fsGroup": USER_ID,
    "seccompProfile": {"type": "RuntimeDefault"},
}
CONTAINER_SECURITY: Json = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def runner_pod(job: Job, attempt: int, slot: int, settings: Settings, outcome_key: str | None = None) -> Json:
    """The manifest of the pod of run number `attempt`: Darkroom's own fields, merged over the runner template.

    With an `outcome_key` it is a pod that stays warm after its run. In a `securityContext` the template wins:
    `template.py` has checked that it is not weaker.
    """
    pod = _merged_pod(job, attempt, slot, settings, outcome_key)
    if outcome_key is not None:
        annotations = pod["metadata"].get("annotations") or {}
        pod["metadata"]["annotations"] = {**annotations, ANNOTATION_TEMPLATE: template_hash(settings)}
    return pod


def template_hash(settings: Settings) -> str:
    """Of everything in a manifest that does not depend on the job, and of the release: a pod with another one takes
    over no run."""
    manifest = _merged_pod(_placeholder(settings), 1, 0, settings, outcome_key="")
    text = json.dumps([manifest, version("darkroom")], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:HASH_DIGITS]


def _placeholder(settings: Settings) -> Job:
    return Job(
        kind=names.Kind.GENERATE,
        namespace=settings.namespace,
        name="placeholder",
        uid="placeholder",
        resource_version="1",
        generation=1,
        created=datetime.fromtimestamp(0, UTC),
        order=1,
        deleting=False,
        labels={},
        spec=GenerateJobSpec(prompt="x"),
        status=JobStatus(),
    )


def _merged_pod(job: Job, attempt: int, slot: int, settings: Settings, outcome_key: str | None) -> Json:
    template = settings.runner_template
    pod = merge(template, _own_pod(job, attempt, slot, settings, outcome_key))
    template_spec = template.get("spec") or {}
    [template_container] = template_spec.get("containers") or [{}]
    spec = pod["spec"]
    spec["securityContext"] = POD_SECURITY | template_spec.get("securityContext", {})
    spec["containers"][0]["securityContext"] = CONTAINER_SECURITY | template_container.get("securityContext", {})
    return pod


def _own_pod(job: Job, attempt: int, slot: int, settings: Settings, outcome_key: str | None) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": names.pod_name(job.name, job.uid, attempt),
            "namespace": job.namespace,
            "labels": {**run_labels(job, attempt), **_pod_labels(slot)},
            "ownerReferences": [owner_reference(job)],
        },
        "spec": {
            "schedulingGates": [{"name": GATE}],
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": settings.termination_grace_seconds,
            "containers": [_container(job, attempt, settings, outcome_key)],
            "volumes": [*_volumes(settings.runner_template), *([] if outcome_key is None else [handover_volume()])],
        },
    }


def _volumes(template: Json) -> list[Json]:
    """The scratch volume, unless the template defines it."""
    given = {each["name"] for each in (template.get("spec") or {}).get("volumes") or []}
    return [] if SCRATCH_VOLUME in given else [{"name": SCRATCH_VOLUME, "emptyDir": {}}]


def run_document(job: Job, attempt: int, settings: Settings) -> RunDocument:
    """The input of the runner, with base models resolved. Without the webhook, whose address may be a secret."""
    spec = job.spec.model_copy(update={"webhook": None, "webhook_events": None})
    train = spec if isinstance(spec, TrainJobSpec) else None
    generate = spec if isinstance(spec, GenerateJobSpec) else None
    return RunDocument(
        namespace=job.namespace,
        name=job.name,
        uid=job.uid,
        attempt=attempt,
        base_model=job.spec.base_model or settings.default_base_model,
        video_base_model=(generate and generate.video.base_model) or settings.default_video_base_model,
        train=train,
        generate=generate,
        traceparent=job.traceparent,
    )


def run_labels(job: Job, attempt: int) -> dict[str, str]:
    """The labels that name the run of a pod."""
    return {
        names.LABEL_JOB_UID: job.uid,
        names.LABEL_JOB_KIND: job.kind.value,
        names.LABEL_JOB_NAME: job.name,
        names.LABEL_ATTEMPT: str(attempt),
    }


def _pod_labels(slot: int) -> dict[str, str]:
    return {
        LABEL_SLOT: str(slot),
        names.LABEL_COMPONENT: names.RUNNER_COMPONENT,
        names.LABEL_PART_OF: names.PART_OF,
        names.LABEL_MANAGED_BY: MANAGER,
    }


def owner_reference(job: Job) -> Json:
    """The pod is deleted with its job."""
    return {
        "apiVersion": API_VERSION,
        "kind": job.kind.value,
        "name": job.name,
        "uid": job.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def _container(job: Job, attempt: int, settings: Settings, outcome_key: str | None) -> Json:
    gpu = {settings.gpu_resource: str(settings.gpu_count)}
    # Kubernetes expands $(NAME) in values, and `$$` stands for a dollar sign: prompts may contain either.
    run = run_document(job, attempt, settings).to_json().replace("$", "$$")
    return {
        "name": RUNNER_CONTAINER,
        "image": settings.runner_image,
        "command": [COMMAND],
        "env": [
            {"name": environment.RUN, "value": run},
            {"name": environment.TERMINATION_MESSAGE_PATH, "value": TERMINATION_LOG},
            {"name": environment.SCRATCH_DIR, "value": SCRATCH_DIR},
            {"name": "HOME", "value": SCRATCH_DIR},
            *([] if outcome_key is None else handover_variables(settings, outcome_key)),
        ],
        "envFrom": [{"secretRef": {"name": settings.runner_secret}}] if settings.runner_secret else [],
        "resources": {"limits": gpu, "requests": gpu} if settings.gpu_count else {},
        "terminationMessagePath": TERMINATION_LOG,
        "volumeMounts": [
            {"name": SCRATCH_VOLUME, "mountPath": SCRATCH_DIR},
            *([] if outcome_key is None else [handover_mount()]),
        ],
    }
