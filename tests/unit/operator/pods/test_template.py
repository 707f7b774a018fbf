"""The runner template: which fields it sets in a run's pod, and which are rejected with what message."""

from pathlib import Path
from textwrap import dedent
from typing import Any

import kubernetes_validate
import pytest
import yaml
from support.operator_snapshots import a_job
from support.pod_security import violations

from darkroom_operator.errors import SettingsError
from darkroom_operator.kube.strategic_merge import merge
from darkroom_operator.pods.builder import runner_pod
from darkroom_operator.pods.template import check_template
from darkroom_operator.settings import Settings

Json = dict[str, Any]
BARE = Settings(runner_image="x", runner_secret="storage")


def pod_under(template: str, **settings: Any) -> Json:
    checked = check_template(yaml.safe_load(dedent(template)), "template.yaml")
    given = Settings(**{"runner_image": "x", "runner_secret": "storage", "runner_template": checked, **settings})
    return runner_pod(a_job("a"), 1, 0, given)


def at(document: Any, path: str) -> Any:
    """The value at a path such as `spec/containers/0/env`."""
    for part in path.split("/"):
        document = document[int(part) if isinstance(document, list) else part]
    return document


AFFINITY = {
    "nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{"matchExpressions": [{"key": "gpu", "operator": "In", "values": ["h100"]}]}]
        }
    }
}
SPREAD = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}

POD_FIELDS: dict[str, tuple[str, Any]] = {
    "a node selector": ("spec/nodeSelector", {"accelerator": "a100"}),
    "tolerations": ("spec/tolerations", [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]),
    "affinity": ("spec/affinity", AFFINITY),
    "a spread": ("spec/topologySpreadConstraints", [SPREAD]),
    "a runtime class": ("spec/runtimeClassName", "nvidia"),
    "a priority class": ("spec/priorityClassName", "darkroom-runner"),
    "another scheduler": ("spec/schedulerName", "volcano"),
    "pull secrets": ("spec/imagePullSecrets", [{"name": "registry"}]),
    "a service account": ("spec/serviceAccountName", "runner"),
    "names of hosts": ("spec/hostAliases", [{"ip": "10.0.0.1", "hostnames": ["s3.internal"]}]),
    "a name server": ("spec/dnsConfig", {"nameservers": ["10.0.0.2"]}),
    "its own user namespace": ("spec/hostUsers", False),
    "claims of devices": ("spec/resourceClaims", [{"name": "gpu", "resourceClaimTemplateName": "h100"}]),
    "annotations": ("metadata/annotations", {"sidecar.istio.io/inject": "false"}),
}


def template_with(path: str, value: Any) -> str:
    document = value
    for part in reversed(path.split("/")):
        document = {part: document}
    return yaml.safe_dump(document)


@pytest.mark.parametrize("what", POD_FIELDS)
def test_it_can_set_these_pod_fields(what: str) -> None:
    path, value = POD_FIELDS[what]
    pod = pod_under(template_with(path, value))
    assert at(pod, path) == value
    require_sound(pod)


def require_sound(pod: Json) -> None:
    kubernetes_validate.validate(pod, "1.37", strict=True)
    assert violations(pod) == []


def test_labels_of_a_queue_are_added_to_those_of_darkroom() -> None:
    pod = pod_under("metadata: {labels: {kueue.x-k8s.io/queue-name: gpu}}")
    own = runner_pod(a_job("a"), 1, 0, BARE)["metadata"]["labels"]
    assert pod["metadata"]["labels"] == own | {"kueue.x-k8s.io/queue-name": "gpu"}


def test_shared_memory_a_model_cache_and_variables_are_merged_with_those_of_darkroom() -> None:
    pod = pod_under(
        """
        spec:
          containers:
            - name: runner
              imagePullPolicy: Always
              env:
                - {name: HF_HOME, value: /models/hub}
                - {name: HF_TOKEN, valueFrom: {secretKeyRef: {name: hub, key: HF_TOKEN}}}
              envFrom: [{configMapRef: {name: proxies}}]
              resources:
                requests: {cpu: 4, memory: 32Gi}
                limits: {memory: 48Gi}
              volumeMounts:
                - {name: shm, mountPath: /dev/shm}
                - {name: models, mountPath: /models}
          volumes:
            - {name: shm, emptyDir: {medium: Memory, sizeLimit: 8Gi}}
            - {name: models, persistentVolumeClaim: {claimName: models}}
        """
    )
    require_sound(pod)
    [runner] = pod["spec"]["containers"]
    [bare] = runner_pod(a_job("a"), 1, 0, BARE)["spec"]["containers"]
    assert runner["env"][: len(bare["env"])] == bare["env"]
    assert [each["name"] for each in runner["env"][len(bare["env"]) :]] == ["HF_HOME", "HF_TOKEN"]
    assert runner["envFrom"] == [{"configMapRef": {"name": "proxies"}}, {"secretRef": {"name": "storage"}}]
    assert runner["resources"] == {
        "requests": {"nvidia.com/gpu": "1", "cpu": 4, "memory": "32Gi"},
        "limits": {"nvidia.com/gpu": "1", "memory": "48Gi"},
    }
    assert [each["mountPath"] for each in runner["volumeMounts"]] == ["/scratch", "/dev/shm", "/models"]
    assert [each["name"] for each in pod["spec"]["volumes"]] == ["scratch", "shm", "models"]
    assert runner["imagePullPolicy"] == "Always"


def test_the_settings_decide_resource_and_number_of_gpus() -> None:
    template = "spec: {containers: [{name: runner, resources: {limits: {memory: 8Gi}}}]}"
    pod = pod_under(template, gpu_resource="nvidia.com/mig-3g.40gb", gpu_count=2)
    assert at(pod, "spec/containers/0/resources/limits") == {"nvidia.com/mig-3g.40gb": "2", "memory": "8Gi"}


def test_it_can_set_another_user_that_is_not_root() -> None:
    pod = pod_under("spec: {securityContext: {runAsUser: 1000680000, fsGroup: 1000680000}}")
    context = pod["spec"]["securityContext"]
    assert (context["runAsUser"], context["fsGroup"], context["runAsNonRoot"]) == (1000680000, 1000680000, True)
    require_sound(pod)


def test_it_can_repeat_what_the_restricted_standard_requires() -> None:
    pod = pod_under(
        """
        spec:
          hostNetwork: false
          securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
          containers:
            - name: runner
              securityContext:
                privileged: false
                allowPrivilegeEscalation: false
                capabilities: {drop: [ALL]}
        """
    )
    assert at(pod, "spec/containers/0/securityContext/readOnlyRootFilesystem") is True
    require_sound(pod)


@pytest.mark.parametrize("kind", [{"emptyDir": {"sizeLimit": "80Gi"}}, {"ephemeral": {"volumeClaimTemplate": {}}}])
def test_the_scratch_volume_can_be_replaced_by_another_one_per_run(kind: Json) -> None:
    pod = pod_under(yaml.safe_dump({"spec": {"volumes": [{"name": "scratch", **kind}]}}))
    assert pod["spec"]["volumes"] == [{"name": "scratch", **kind}]


def test_an_empty_template_changes_nothing() -> None:
    bare = runner_pod(a_job("a"), 1, 0, BARE)
    for text in ("", "metadata:\nspec:\n", "spec: {containers: []}", "spec: {containers: [{name: runner}]}"):
        assert pod_under(text) == bare


REFUSED = {
    "metadata: {name: x}": r"metadata\.name: can't be set here: it is set by Darkroom",
    "metadata: {finalizers: [x/y]}": r"metadata\.finalizers: .* would keep its slot",
    "metadata: {labels: {darkroom.dev/slot: '1'}}": r"metadata\.labels: darkroom\.dev/slot is reserved",
    "metadata: {labels: {app.kubernetes.io/component: x}}": r"app\.kubernetes\.io/component is reserved",
    "metadata: {annotations: {a/b: true}}": r"metadata\.annotations\.a/b: True must be a string: put it in quotes",
    "spec: {nodeSelector: {gen: 3}}": r"spec\.nodeSelector\.gen: 3 must be a string",
    "spec: {schedulingGates: []}": r"spec\.schedulingGates: .* Kueue's",
    "spec: {restartPolicy: Always}": r"spec\.restartPolicy: .*set by Darkroom",
    "spec: {automountServiceAccountToken: true}": r"a run gets no credentials for the cluster",
    "spec: {terminationGracePeriodSeconds: 9}": r"set DARKROOM_TERMINATION_GRACE_SECONDS",
    "spec: {activeDeadlineSeconds: 9}": r"each job has its own",
    "spec: {initContainers: []}": r"spec\.initContainers: .*one container",
    "spec: {nodeName: a}": r"spec\.nodeName: .*use nodeSelector",
    "spec: {tolerance: []}": r"spec\.tolerance: .*not one of the fields that a runner template may set",
    "spec: {containers: [{name: sidecar}]}": r"spec\.containers\[0\]: .*'sidecar' would continue .* keep the slot",
    "spec: {containers: [{name: runner}, {name: b}]}": r"spec\.containers: a runner's pod has one container",
    "spec: {containers: [{name: runner, image: x}]}": r"spec\.containers\[0\]\.image: .*set DARKROOM_RUNNER_IMAGE",
    "spec: {containers: [{name: runner, command: [x]}]}": r"spec\.containers\[0\]\.command: ",
    "spec: {containers: [{name: runner, lifecycle: {}}]}": r"lifecycle: .*a hook would use up the time",
    "spec: {containers: [{name: runner, env: [{name: DARKROOM_RUN, value: x}]}]}": r"env\[0\]: DARKROOM_RUN is set by",
    "spec: {containers: [{name: runner, env: [{name: A, value: 1}]}]}": r"env\[0\]\.value: 1 must be a string",
    "spec: {containers: [{name: runner, volumeMounts: [{name: a, mountPath: /scratch/}]}]}": r"/scratch is reserved",
    "spec: {containers: [{name: runner, volumeMounts: [{name: a, mountPath: /etc/darkroom}]}]}": "darkroom is reserved",
    "spec: {containers: [{name: runner, volumeMounts: [{name: a, mountPath: /dev}]}]}": r"/dev is reserved",
    "spec: {containers: [{name: runner, volumeMounts: [{name: a, mountPath: /}]}]}": r"/ is reserved",
    "spec: {hostNetwork: true}": r"spec\.hostNetwork: True can't be set here: .*restricted Pod Security Standard",
    "spec: {hostPID: true}": r"spec\.hostPID: True .*restricted",
    "spec: {securityContext: {runAsUser: 0}}": r"spec\.securityContext\.runAsUser: 0 .*restricted",
    "spec: {securityContext: {runAsNonRoot: false}}": r"runAsNonRoot: False .*restricted",
    "spec: {securityContext: {sysctls: []}}": r"sysctls: .*restricted",
    "spec: {securityContext: {seccompProfile: {type: Unconfined}}}": r"seccompProfile\.type: 'Unconfined' .*restricted",
    "spec: {volumes: [{name: a, hostPath: {path: /}}]}": r"volumes\[0\]\.hostPath: .*use a persistentVolumeClaim",
    "spec: {volumes: [{name: a}]}": r"the volume 'a' must have exactly one type, but has 0",
    "spec: {volumes: [{name: scratch, secret: {}}]}": r"the volume 'scratch' belongs to a single run",
    "spec: {volumes: [{name: a, projected: {sources: [{serviceAccountToken: {path: t}}]}}]}": r"valid for the API",
    "[]": r"the document: ",
}
CONTAINER_REFUSED = {
    "privileged: true": r"privileged: True .*restricted",
    "allowPrivilegeEscalation: true": r"allowPrivilegeEscalation: True .*restricted",
    "readOnlyRootFilesystem: false": r"mount an emptyDir",
    "capabilities: {add: [SYS_ADMIN]}": r"capabilities\.add: .*restricted",
    "capabilities: {drop: [KILL]}": r"capabilities\.drop\[0\]: 'KILL' .*restricted",
    "runAsUser: 0": r"spec\.containers\[0\]\.securityContext\.runAsUser: 0 .*restricted",
    "procMount: Unmasked": r"procMount: .*restricted",
}
CONTAINER_TEMPLATE = "spec: {{containers: [{{name: runner, securityContext: {{{0}}}}}]}}"
REFUSED |= {CONTAINER_TEMPLATE.format(context): message for context, message in CONTAINER_REFUSED.items()}


@pytest.mark.parametrize("template", REFUSED)
def test_reserved_or_unsafe_fields_are_rejected_by_name(template: str, tmp_path: Path) -> None:
    path = tmp_path / "template.yaml"
    path.write_text(template)
    with pytest.raises(SettingsError, match=REFUSED[template]) as caught:
        settings_with(path)
    assert str(caught.value).startswith(f"DARKROOM_RUNNER_TEMPLATE: {path} is invalid:\n  ")


def settings_with(path: Path) -> Settings:
    return Settings.from_environment({"DARKROOM_RUNNER_IMAGE": "x", "DARKROOM_RUNNER_TEMPLATE": str(path)})


def test_all_faults_are_reported_at_once(tmp_path: Path) -> None:
    path = tmp_path / "template.yaml"
    path.write_text("metadata: {name: x}\nspec: {hostPID: true, nodeName: a}\n")
    with pytest.raises(SettingsError) as caught:
        settings_with(path)
    assert len(str(caught.value).splitlines()) == 4


def test_a_gpu_in_both_template_and_settings_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "template.yaml"
    path.write_text("spec: {containers: [{name: runner, resources: {limits: {nvidia.com/gpu: 2}}}]}")
    with pytest.raises(SettingsError, match=r"resources\.limits\.nvidia\.com/gpu: .*set DARKROOM_GPU_COUNT"):
        settings_with(path)


def test_invalid_yaml_is_reported_with_the_line(tmp_path: Path) -> None:
    path = tmp_path / "template.yaml"
    path.write_text("spec:\n  nodeSelector: {a: b\n  tolerations: []\n")
    with pytest.raises(SettingsError, match=r"template.yaml is not valid YAML: line 3, column \d+: "):
        settings_with(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"missing.yaml can't be read: No such file or directory\. Mount the file"):
        settings_with(tmp_path / "missing.yaml")


@pytest.mark.parametrize(
    ("base", "override", "merged"),
    [
        ({"a": 1, "b": 2}, {"b": 3}, {"a": 1, "b": 3}),
        ({"a": {"b": 1}}, {"a": {"c": 2}}, {"a": {"b": 1, "c": 2}}),
        (
            {"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "1"}]},
            {"env": [{"name": "B", "value": "2"}]},
            {"env": [{"name": "B", "value": "2"}, {"name": "A", "value": "1"}]},
        ),
        (
            {"imagePullSecrets": [{"name": "a"}, {"name": "b"}]},
            {"imagePullSecrets": [{"name": "b"}]},
            {"imagePullSecrets": [{"name": "b"}, {"name": "a"}]},
        ),
        (
            {"volumeMounts": [{"name": "x", "mountPath": "/a"}]},
            {"volumeMounts": [{"name": "y", "mountPath": "/a"}]},
            {"volumeMounts": [{"name": "y", "mountPath": "/a"}]},
        ),
        ({"envFrom": [1]}, {"envFrom": [2]}, {"envFrom": [1, 2]}),
        ({"a": [1]}, {"a": {"b": 1}}, {"a": {"b": 1}}),
    ],
    ids=["values", "maps", "variables", "pull secrets", "mounts", "lists without a key", "of two kinds"],
)
def test_two_objects_are_merged_and_the_override_wins(base: Json, override: Json, merged: Json) -> None:
    assert merge(base, override) == merged
