"""The runner template: a partial PodTemplateSpec from a file, validated when the operator starts.

`settings.py` reads it and `builder.py` merges Darkroom's own pod over it. The models below list the fields that it may
set: scheduling, volumes, environment, labels. Image, lifetime and privileges of a run are Darkroom's, within the
restricted Pod Security Standard (docs/decisions/0010). Fields are checked where mistakes are likely; the API server
validates the rest, strictly.
"""

import posixpath
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from darkroom_contract import names
from darkroom_operator.errors import SettingsError
from darkroom_operator.kube.objects import Json
from darkroom_operator.pods.layout import OWN_ENVIRONMENT, OWN_LABELS, OWN_PATHS, OWN_VOLUMES, SCRATCH_VOLUME
from darkroom_operator.pods.template_faults import describe

VARIABLE = "DARKROOM_RUNNER_TEMPLATE"


def _not_ours(values: dict[str, str]) -> dict[str, str]:
    ours = [each for each in values if each in OWN_LABELS or each.startswith(f"{names.GROUP}/")]
    if ours:
        raise ValueError(f"{ours[0]} is reserved: Darkroom identifies its pods by it. Use another name")
    return values


Texts = Annotated[dict[str, str], Field(strict=True)]
OthersTexts = Annotated[Texts, AfterValidator(_not_ours)]
Quantities = dict[str, str | int | float]


class Part(BaseModel):
    """A part of a pod that rejects unknown fields."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True)


class Metadata(Part):
    labels: OthersTexts | None = None
    annotations: OthersTexts | None = None


class Seccomp(Part):
    type: Literal["RuntimeDefault", "Localhost"]
    localhost_profile: str | None = None


class AppArmor(Seccomp):
    """The same fields as seccomp."""


class SELinux(Part):
    level: str | None = None
    type: Literal["container_t", "container_init_t", "container_kvm_t", "container_engine_t"] | None = None


class Security(Part):
    """Fields of both pod and container. Those that the restricted standard requires may be repeated."""

    run_as_user: Annotated[int, Field(gt=0)] | None = None
    run_as_group: int | None = None
    run_as_non_root: Literal[True] | None = None
    seccomp_profile: Seccomp | None = None
    app_armor_profile: AppArmor | None = None
    se_linux_options: SELinux | None = None


class PodSecurity(Security):
    fs_group: int | None = None
    fs_group_change_policy: Literal["OnRootMismatch", "Always"] | None = None
    supplemental_groups: list[int] | None = None
    supplemental_groups_policy: str | None = None


class Capabilities(Part):
    drop: list[Literal["ALL"]] = Field(min_length=1)


class ContainerSecurity(Security):
    allow_privilege_escalation: Literal[False] | None = None
    privileged: Literal[False] | None = None
    read_only_root_filesystem: Literal[True] | None = None
    capabilities: Capabilities | None = None


class Variable(Part):
    name: str
    value: str | None = None
    value_from: Json | None = None

    @model_validator(mode="after")
    def _is_free(self) -> Self:
        if self.name in OWN_ENVIRONMENT:
            raise ValueError(f"{self.name} is set by Darkroom for each run and can't be set here")
        return self


class Mount(Part):
    name: str
    mount_path: str
    read_only: bool | None = None
    recursive_read_only: str | None = None
    sub_path: str | None = None
    sub_path_expr: str | None = None

    @model_validator(mode="after")
    def _is_free(self) -> Self:
        path = posixpath.normpath(self.mount_path)
        hidden = sorted(each for each in OWN_PATHS if PurePosixPath(each).is_relative_to(path))
        if hidden:
            raise ValueError(f"{path} is reserved by Darkroom, which mounts {hidden[0]}. Choose another mountPath")
        return self


class Resources(Part):
    limits: Quantities | None = None
    requests: Quantities | None = None
    claims: list[Json] | None = None


class Runner(Part):
    """The only container."""

    name: str
    env: list[Variable] | None = None
    env_from: list[Json] | None = None
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = None
    resources: Resources | None = None
    security_context: ContainerSecurity | None = None
    volume_mounts: list[Mount] | None = None

    @model_validator(mode="after")
    def _is_the_runner(self) -> Self:
        if self.name != names.RUNNER_CONTAINER:
            raise ValueError(
                f"a runner's pod has one container, {names.RUNNER_CONTAINER!r}: {self.name!r} would continue after the "
                "run has ended and keep the slot. Remove it"
            )
        return self


class Volume(Part):
    """A volume of a type that the restricted standard allows."""

    name: str
    config_map: Json | None = None
    csi: Json | None = None
    downward_api: Json | None = Field(None, alias="downwardAPI")
    empty_dir: Json | None = None
    ephemeral: Json | None = None
    persistent_volume_claim: Json | None = None
    projected: Json | None = None
    secret: Json | None = None

    @model_validator(mode="after")
    def _is_one_thing(self) -> Self:
        kinds = [kind for kind in self.model_fields_set - {"name"} if getattr(self, kind) is not None]
        if len(kinds) != 1:
            raise ValueError(f"the volume {self.name!r} must have exactly one type, but has {len(kinds)}")
        if self.name in OWN_VOLUMES:
            raise ValueError(f"the volume {self.name!r} is reserved by Darkroom. Use another name")
        if self.name == SCRATCH_VOLUME and kinds[0] not in ("empty_dir", "ephemeral"):
            raise ValueError(f"the volume {self.name!r} belongs to a single run: use emptyDir or ephemeral")
        for source in (self.projected or {}).get("sources") or []:
            if "serviceAccountToken" in source and not (source["serviceAccountToken"] or {}).get("audience"):
                raise ValueError("a serviceAccountToken without an audience is valid for the API server: set another")
        return self


class Spec(Part):
    affinity: Json | None = None
    containers: list[Runner] | None = Field(None, max_length=1)
    dns_config: Json | None = None
    dns_policy: str | None = None
    host_aliases: list[Json] | None = None
    host_ipc: Literal[False] | None = Field(None, alias="hostIPC")
    host_network: Literal[False] | None = None
    host_pid: Literal[False] | None = Field(None, alias="hostPID")
    host_users: bool | None = None
    image_pull_secrets: list[Json] | None = None
    node_selector: Texts | None = None
    preemption_policy: str | None = None
    priority_class_name: str | None = None
    resource_claims: list[Json] | None = None
    runtime_class_name: str | None = None
    scheduler_name: str | None = None
    security_context: PodSecurity | None = None
    service_account_name: str | None = None
    tolerations: list[Json] | None = None
    topology_spread_constraints: list[Json] | None = None
    volumes: list[Volume] | None = None


class Template(Part):
    metadata: Metadata | None = None
    spec: Spec | None = None


def read_template(path: str) -> Json:
    """The validated template, without null fields. Raises `SettingsError` with the file and each invalid field."""
    try:
        document = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(
            f"{VARIABLE}: {path} can't be read: {error.strerror}. Mount the file, or unset the variable."
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{VARIABLE}: {path} is not valid YAML: {_where(error)}") from error
    return check_template(document, path)


def check_template(document: Any, path: str) -> Json:
    try:
        return Template.model_validate({} if document is None else document).model_dump(
            by_alias=True, exclude_none=True
        )
    except ValidationError as error:
        faults = "".join(f"\n  {fault}" for fault in describe(error))
        raise SettingsError(f"{VARIABLE}: {path} is invalid:{faults}") from error


def _where(error: yaml.YAMLError | UnicodeDecodeError) -> str:
    """The line and the problem."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"line {mark.line + 1}, column {mark.column + 1}: {error.problem}"
    return str(error)
