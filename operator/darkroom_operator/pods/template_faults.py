"""What is wrong with a runner template, in words: the field, why it can't be set, and what to do instead. Pure; used by
`runner_template.py`."""

from collections.abc import Iterator

from pydantic import ValidationError
from pydantic_core import ErrorDetails

RESTRICTED = "it is against the restricted Pod Security Standard, under which every run is made"
OURS = "it is Darkroom's to decide"

WHY = {
    "activeDeadlineSeconds": "each job has its own: its spec.activeDeadlineSeconds",
    "args": OURS,
    "automountServiceAccountToken": "a run gets no credentials of the cluster",
    "command": OURS,
    "enableServiceLinks": OURS,
    "ephemeralContainers": "a runner's pod has one container",
    "finalizers": "a pod that stays when it is over would keep its slot",
    "hostIPC": RESTRICTED,
    "hostNetwork": RESTRICTED,
    "hostPID": RESTRICTED,
    "hostPath": f"{RESTRICTED}; take a persistentVolumeClaim (a local volume can be one)",
    "image": "set DARKROOM_RUNNER_IMAGE",
    "initContainers": "a run's end is told by its one container; make what it needs once, by a Job of yours",
    "lifecycle": "a run saves its state when it is told to stop, and a hook would take its time for that",
    "livenessProbe": "a run is not restarted in place; its job's activeDeadlineSeconds ends one that hangs",
    "name": OURS,
    "namespace": OURS,
    "nodeName": "no pod with a scheduling gate may have it; take nodeSelector",
    "ownerReferences": OURS,
    "priority": "take priorityClassName",
    "restartPolicy": OURS,
    "schedulingGates": "Darkroom has its own; others' are added by their webhooks, such as Kueue's for its labels",
    "serviceAccount": "take serviceAccountName",
    "startupProbe": "a job has its startDeadlineSeconds",
    "terminationGracePeriodSeconds": "set DARKROOM_TERMINATION_GRACE_SECONDS",
    "terminationMessagePath": OURS,
    "terminationMessagePolicy": OURS,
}
"""By the name of a field that one might well want to set."""

HARDENED = {
    "add": RESTRICTED,
    "allowPrivilegeEscalation": RESTRICTED,
    "drop": RESTRICTED,
    "privileged": RESTRICTED,
    "readOnlyRootFilesystem": "a run's root file system is read-only; mount an emptyDir where it must write",
    "runAsNonRoot": RESTRICTED,
    "runAsUser": RESTRICTED,
    "procMount": RESTRICTED,
    "sysctls": RESTRICTED,
    "type": RESTRICTED,
    "windowsOptions": RESTRICTED,
}
"""Of a securityContext."""


def describe(error: ValidationError) -> Iterator[str]:
    """One line a fault."""
    for each in error.errors(include_url=False):
        yield f"{_path(each['loc'])}: {_words(each)}."


def _path(parts: tuple[int | str, ...]) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
    return text.removeprefix(".") or "the document"


def _words(fault: ErrorDetails) -> str:
    *above, name = ["", *(part for part in fault["loc"] if isinstance(part, str))]
    why = HARDENED.get(name) if "securityContext" in above else WHY.get(name)
    if fault["type"] == "extra_forbidden":
        return f"it can't be set here: {why or 'it is none of the fields that a runner template may set'}"
    if why is not None and fault["type"] in ("literal_error", "greater_than"):
        return f"{fault['input']!r} can't be set here: {why}"
    if fault["type"] == "string_type":
        return f"{fault['input']!r} must be a text: put it into quotes"
    if fault["type"] == "too_long":
        return "a runner's pod has one container: another would go on when the run has ended, and keep the slot"
    return fault["msg"].removeprefix("Value error, ")
