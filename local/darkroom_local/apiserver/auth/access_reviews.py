"""Reviews of permissions and of the current user: created, answered, and never stored.

SelfSubjectAccessReview, SubjectAccessReview, SelfSubjectRulesReview (`kubectl auth can-i`) and SelfSubjectReview
(`kubectl auth whoami`). https://kubernetes.io/docs/reference/access-authn-authz/authorization/#checking-api-access
"""

from collections.abc import Callable
from typing import Any

from darkroom_local.apiserver.apimachinery.errors import Cause, invalid, required_value
from darkroom_local.apiserver.apimachinery.unstructured import Json
from darkroom_local.apiserver.auth.attributes import Attributes
from darkroom_local.apiserver.auth.authenticator import User
from darkroom_local.apiserver.auth.authorizer import ALL, Authorizer
from darkroom_local.apiserver.resources.resource import Resource
from darkroom_local.apiserver.validation.decoding import decode_object


def answer(resource: Resource, authorizer: Authorizer, user: User, body: Any) -> Json:
    """The review with its status. Raises 400 or 422."""
    review = decode_object(resource, "", body)
    spec: Json = review.get("spec") or {}
    if causes := VALIDATORS[resource.kind](spec):
        raise invalid(resource.kind, resource.group, "", causes)
    return review | {"status": ANSWERS[resource.kind](authorizer, user, spec)}


def _self_access_status(authorizer: Authorizer, user: User, spec: Json) -> Json:
    decision = authorizer.decide(user, _attributes(spec))
    return {"allowed": decision.allowed} | ({"reason": decision.reason} if decision.reason else {})


def _access_status(authorizer: Authorizer, user: User, spec: Json) -> Json:
    """For exactly the given user and groups, without the groups that a token would add."""
    subject = User(spec.get("user") or "", tuple(spec.get("groups") or ()), spec.get("uid") or "")
    return _self_access_status(authorizer, subject, spec)


def _self_rules_status(authorizer: Authorizer, user: User, spec: Json) -> Json:
    if not authorizer.enforced:
        everything = {"verbs": [ALL], "apiGroups": [ALL], "resources": [ALL]}
        return _rules([everything, {"verbs": [ALL], "nonResourceURLs": [ALL]}])
    found = authorizer.rules_for(user, spec["namespace"])
    return _rules([grant.rule for grant in found.grants], "; ".join(found.missing_roles))


def _self_status(authorizer: Authorizer, user: User, spec: Json) -> Json:
    given = {"username": user.name, "uid": user.uid, "groups": list(user.groups), "extra": user.extra}
    return {"userInfo": {field: value for field, value in given.items() if value}}


def _rules(rules: list[Json], error: str = "") -> Json:
    path_rules = [rule for rule in rules if rule.get("nonResourceURLs")]
    resource_rules = [rule for rule in rules if not rule.get("nonResourceURLs")]
    found = {"resourceRules": resource_rules, "nonResourceRules": path_rules, "incomplete": bool(error)}
    return found | ({"evaluationError": error} if error else {})


def _attributes(spec: Json) -> Attributes:
    if wanted := spec.get("resourceAttributes"):
        fields = ("verb", "group", "resource", "subresource", "namespace", "name")
        return Attributes(**{field: wanted.get(field) or "" for field in fields})
    wanted = spec["nonResourceAttributes"]
    return Attributes(wanted.get("verb", ""), path=wanted.get("path") or "/")


def _access_causes(spec: Json) -> list[Cause]:
    given = [field for field in ("resourceAttributes", "nonResourceAttributes") if spec.get(field) is not None]
    if len(given) == 1:
        return []
    why = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
    return [required_value("spec.resourceAttributes", why)]


def _subject_access_causes(spec: Json) -> list[Cause]:
    causes = _access_causes(spec)
    if not spec.get("user") and not spec.get("groups"):
        causes.append(required_value("spec.user", "at least one of user or group must be specified"))
    return causes


def _rules_causes(spec: Json) -> list[Cause]:
    return [] if spec.get("namespace") else [required_value("spec.namespace", "no namespace on request")]


VALIDATORS: dict[str, Callable[[Json], list[Cause]]] = {
    "SelfSubjectAccessReview": _access_causes,
    "SubjectAccessReview": _subject_access_causes,
    "SelfSubjectRulesReview": _rules_causes,
    "SelfSubjectReview": lambda spec: [],
}
ANSWERS: dict[str, Callable[[Authorizer, User, Json], Json]] = {
    "SelfSubjectAccessReview": _self_access_status,
    "SubjectAccessReview": _access_status,
    "SelfSubjectRulesReview": _self_rules_status,
    "SelfSubjectReview": _self_status,
}
