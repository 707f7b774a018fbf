"""Defaults and validation of roles and role bindings. Pure.

Like k8s.io/kubernetes/pkg/apis/rbac/validation, without the check for privilege escalation: see docs/decisions/0003.
"""

from collections.abc import Iterator

from darkroom_local.apiserver.apimachinery.errors import Cause, invalid_value, required_value, unsupported_value
from darkroom_local.apiserver.apimachinery.unstructured import Json
from darkroom_local.apiserver.resources.registry import RBAC

SUBJECT_GROUPS = {"User": RBAC, "Group": RBAC, "ServiceAccount": ""}


def set_defaults(document: Json) -> None:
    """Set defaults, in place."""
    for subject in document.get("subjects") or []:
        if group := SUBJECT_GROUPS.get(subject.get("kind", "")):
            subject.setdefault("apiGroup", group)
    if reference := document.get("roleRef"):
        reference.setdefault("apiGroup", RBAC)


def validate_role(document: Json, old: Json | None) -> list[Cause]:
    return list(_role_causes(document, namespaced=True))


def validate_cluster_role(document: Json, old: Json | None) -> list[Cause]:
    return list(_role_causes(document, namespaced=False))


def validate_binding(document: Json, old: Json | None) -> list[Cause]:
    return list(_binding_causes(document, old, ("ClusterRole", "Role")))


def validate_cluster_binding(document: Json, old: Json | None) -> list[Cause]:
    return list(_binding_causes(document, old, ("ClusterRole",)))


def _role_causes(document: Json, namespaced: bool) -> Iterator[Cause]:
    for number, rule in enumerate(document.get("rules") or []):
        field = f"rules[{number}]"
        if not rule.get("verbs"):
            yield required_value(f"{field}.verbs", "verbs must contain at least one value")
        if rule.get("nonResourceURLs"):
            if namespaced:
                why = "namespaced rules cannot apply to non-resource URLs"
                yield invalid_value(f"{field}.nonResourceURLs", rule["nonResourceURLs"], why)
            continue
        if not rule.get("apiGroups"):
            yield required_value(f"{field}.apiGroups", "resource rules must supply at least one api group")
        if not rule.get("resources"):
            yield required_value(f"{field}.resources", "resource rules must supply at least one resource")


def _binding_causes(document: Json, old: Json | None, kinds: tuple[str, ...]) -> Iterator[Cause]:
    reference = document.get("roleRef") or {}
    if reference.get("kind") not in kinds:
        yield unsupported_value("roleRef.kind", reference.get("kind", ""), kinds)
    if not reference.get("name"):
        yield required_value("roleRef.name")
    if old is not None and reference != old["roleRef"]:
        yield invalid_value("roleRef", reference, "cannot change roleRef")
    for number, subject in enumerate(document.get("subjects") or []):
        yield from _subject_causes(f"subjects[{number}]", subject)


def _subject_causes(field: str, subject: Json) -> Iterator[Cause]:
    if not subject.get("name"):
        yield required_value(f"{field}.name")
    if subject.get("kind") not in SUBJECT_GROUPS:
        yield unsupported_value(f"{field}.kind", subject.get("kind", ""), sorted(SUBJECT_GROUPS))
    elif subject["kind"] == "ServiceAccount" and not subject.get("namespace"):
        yield required_value(f"{field}.namespace")
