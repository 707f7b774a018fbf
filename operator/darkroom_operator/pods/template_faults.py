"""Error messages for an invalid runner template: the field, why it can't be set, and what to do instead. Pure."""

from collections.abc import Iterator

from pydantic import ValidationError
from pydantic_core import ErrorDetails

RESTRICTED = "it violates the restricted Pod Security Standard, which applies to every run"
OURS = "it is set by Darkroom"

WHY = {
    "activeDeadlineSeconds": "each job has its own spec.activeDeadlineSeconds",
    "args": OURS,
    "automountServiceAccountToken": "a run gets no credentials for the cluster",
    "command": OURS,
    "enableServiceLinks": OURS,
    "ephemeralContainers": "a runner's pod has one container",
    "finalizers": "a pod that remains after its end would keep its slot",
    "hostIPC": RESTRICTED,
    "hostNetwork": RESTRICTED,
    "hostPID": RESTRICTED,
    "hostPath": f"{RESTRICTED}; use a persistentVolumeClaim (a local volume works)",
    "image": "set DARKROOM_RUNNER_IMAGE",
    "initContainers": "a runner's pod has one container, whose end is the end of the run; prepare data by a Job",
    "lifecycle": "a run saves its state when it is stopped, and a hook would use up the time for that",
    "livenessProbe": "a run is not restarted in place; activeDeadlineSeconds of its job ends one that hangs",
    "name": OURS,
    "namespace": OURS,
    "nodeName": "a pod with a scheduling gate can't have it; use nodeSelector",
    "ownerReferences": OURS,
    "priority": "use priorityClassName",
    "restartPolicy": OURS,
    "schedulingGates": "Darkroom sets its own; other controllers add theirs by webhooks, such as Kueue's",
    "serviceAccount": "use serviceAccountName",
    "startupProbe": "use startDeadlineSeconds of the job",
    "terminationGracePeriodSeconds": "set DARKROOM_TERMINATION_GRACE_SECONDS",
    "terminationMessagePath": OURS,
    "terminationMessagePolicy": OURS,
}
"""Why common fields can't be set."""

HARDENED = {
    "add": RESTRICTED,
    "allowPrivilegeEscalation": RESTRICTED,
    "drop": RESTRICTED,
    "privileged": RESTRICTED,
    "readOnlyRootFilesystem": "the root file system of a run is read-only; mount an emptyDir where it has to write",
    "runAsNonRoot": RESTRICTED,
    "runAsUser": RESTRICTED,
    "procMount": RESTRICTED,
    "sysctls": RESTRICTED,
    "type": RESTRICTED,
    "windowsOptions": RESTRICTED,
}
"""The same for fields of a securityContext."""


def describe(error: ValidationError) -> Iterator[str]:
    """One line per error."""
    for each in error.errors(include_url=False):
        yield f"{_path(each['loc'])}: {_message(each)}."


def _path(parts: tuple[int | str, ...]) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
    return text.removeprefix(".") or "the document"


def _message(fault: ErrorDetails) -> str:
    *above, name = ["", *(part for part in fault["loc"] if isinstance(part, str))]
    why = HARDENED.get(name) if "securityContext" in above else WHY.get(name)
    if fault["type"] == "extra_forbidden":
        return f"can't be set here: {why or 'it is not one of the fields that a runner template may set'}"
    if why is not None and fault["type"] in ("literal_error", "greater_than"):
        return f"{fault['input']!r} can't be set here: {why}"
    if fault["type"] == "string_type":
        return f"{fault['input']!r} must be a string: put it in quotes"
    if fault["type"] == "too_long":
        return "a runner's pod has one container: another one would continue after the run has ended and keep the slot"
    return fault["msg"].removeprefix("Value error, ")
