"""RBAC authorization: evaluates Roles, ClusterRoles and their bindings, like Kubernetes' RBAC authorizer.

Its only state is a cache of each user's rules, which every write of a role or binding clears.
https://kubernetes.io/docs/reference/access-authn-authz/rbac/
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from darkroom_local.apiserver.apimachinery.unstructured import Json
from darkroom_local.apiserver.auth.attributes import Attributes
from darkroom_local.apiserver.auth.authenticator import ACCOUNT_PREFIX, MASTERS, User
from darkroom_local.apiserver.resources.registry import RBAC
from darkroom_local.apiserver.storage.store import Event, Store

COLLECTIONS = {kind: f"{RBAC}/{kind.lower()}s" for kind in ("Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding")}
ALL = "*"
CACHE_SIZE = 1000
"""Maximum number of cached pairs of user and namespace."""


@dataclass(frozen=True)
class Decision:
    allowed: bool
    reason: str = ""


@dataclass(frozen=True)
class GrantedRule:
    """A rule that applies to a user, and its binding."""

    rule: Json
    verbs: frozenset[str]
    groups: frozenset[str]
    resources: frozenset[str]
    names: frozenset[str]
    """Object names; empty allows all."""
    urls: tuple[str, ...]
    binding: str
    """Description of the binding, for decisions."""

    def allows(self, attributes: Attributes) -> bool:
        if attributes.verb not in self.verbs and ALL not in self.verbs:
            return False
        if not attributes.is_resource:
            return any(_matches_url(url, attributes.path) for url in self.urls)
        return (
            (attributes.group in self.groups or ALL in self.groups)
            and self._has_resource(attributes)
            and (not self.names or attributes.name in self.names)
        )

    def _has_resource(self, attributes: Attributes) -> bool:
        if attributes.combined in self.resources or ALL in self.resources:
            return True
        return bool(attributes.subresource) and f"*/{attributes.subresource}" in self.resources


@dataclass(frozen=True)
class UserRules:
    """The rules of a user in one namespace or at cluster scope, and references to missing roles."""

    grants: tuple[GrantedRule, ...]
    missing_roles: tuple[str, ...]
    by_resource: dict[tuple[str, str], list[GrantedRule]]
    """Rules without wildcards, indexed by group and resource: few of a hundred roles concern one resource."""
    wildcard: list[GrantedRule]
    """All other rules."""

    @classmethod
    def of(cls, grants: list[GrantedRule], missing: list[str]) -> "UserRules":
        rules = cls(tuple(grants), tuple(dict.fromkeys(missing)), defaultdict(list), [])
        for grant in grants:
            if any(ALL in word for word in grant.groups | grant.resources) or not grant.resources:
                rules.wildcard.append(grant)
                continue
            for key in product(grant.groups, grant.resources):
                rules.by_resource[key].append(grant)
        return rules

    def find(self, attributes: Attributes) -> GrantedRule | None:
        """The first rule that allows the action."""
        narrow = self.by_resource.get((attributes.group, attributes.combined), ())
        return next((grant for grant in (*narrow, *self.wildcard) if grant.allows(attributes)), None)


class Authorizer:
    """Decides who may do what. Without enforcement every authenticated user may do everything."""

    def __init__(self, store: Store, enforced: bool) -> None:
        self.enforced = enforced
        self._store = store
        self._cache: dict[tuple[User, str], UserRules] = {}
        store.subscribe(self._invalidate)

    def require(self, user: User, attributes: Attributes) -> None:
        """Raises 403."""
        decision = self.decide(user, attributes)
        if not decision.allowed:
            raise attributes.refusal(user.name, decision.reason)

    def decide(self, user: User, attributes: Attributes) -> Decision:
        if not self.enforced or MASTERS in user.groups:
            return Decision(True)
        rules = self.rules_for(user, attributes.namespace if attributes.is_resource else "")
        if grant := rules.find(attributes):
            return Decision(True, f"RBAC: allowed by {grant.binding}")
        return Decision(False, f"RBAC: {_aggregate(rules.missing_roles)}" if rules.missing_roles else "")

    def rules_for(self, user: User, namespace: str) -> UserRules:
        key = (user, namespace)
        if key not in self._cache:
            if len(self._cache) >= CACHE_SIZE:
                self._cache.clear()
            self._cache[key] = self._find(user, namespace)
        return self._cache[key]

    def _invalidate(self, event: Event) -> None:
        if event.collection.startswith(RBAC):
            self._cache.clear()

    def _find(self, user: User, namespace: str) -> UserRules:
        grants: list[GrantedRule] = []
        missing: list[str] = []
        for binding, subject in self._bindings(user, namespace):
            reference, by = binding["roleRef"], _described(binding, subject)
            role = self._role(reference, namespace)
            if role is None:
                missing.append(f'{reference["kind"].lower()}.{RBAC} "{reference["name"]}" not found')
                continue
            grants += [_grant(rule, by) for rule in role.get("rules") or []]
        return UserRules.of(grants, missing)

    def _bindings(self, user: User, namespace: str) -> Iterator[tuple[Json, Json]]:
        """The bindings of a user, each with the matching subject."""
        found = self._store.items(COLLECTIONS["ClusterRoleBinding"])
        if namespace:
            found = found + self._store.items(COLLECTIONS["RoleBinding"], namespace)
        for binding in found:
            own = binding["metadata"].get("namespace", "")
            subject = next((each for each in binding.get("subjects") or [] if _names(each, user, own)), None)
            if subject:
                yield binding, subject

    def _role(self, reference: Json, namespace: str) -> Json | None:
        kind = reference["kind"]
        return self._store.get(COLLECTIONS[kind], namespace if kind == "Role" else "", reference["name"])


def _names(subject: Json, user: User, namespace: str) -> bool:
    kind, name = subject["kind"], subject["name"]
    if kind == "ServiceAccount":
        return user.name == f"{ACCOUNT_PREFIX}{subject.get('namespace') or namespace}:{name}"
    return bool(name == user.name) if kind == "User" else name in user.groups


def _described(binding: Json, subject: Json) -> str:
    """`RoleBinding "reads/default" of Role "reader" to ServiceAccount "gateway/default"`."""
    namespace, reference = binding["metadata"].get("namespace"), binding["roleRef"]
    kind, suffix = ("RoleBinding", f"/{namespace}") if namespace else ("ClusterRoleBinding", "")
    home = subject.get("namespace") or namespace
    whom = f"{subject['name']}/{home}" if subject["kind"] == "ServiceAccount" else subject["name"]
    granted = f'{kind} "{binding["metadata"]["name"]}{suffix}" of {reference["kind"]} "{reference["name"]}"'
    return f'{granted} to {subject["kind"]} "{whom}"'


def _grant(rule: Json, by: str) -> GrantedRule:
    def words(field: str) -> frozenset[str]:
        return frozenset(rule.get(field) or ())

    urls = tuple(rule.get("nonResourceURLs") or ())
    return GrantedRule(rule, words("verbs"), words("apiGroups"), words("resources"), words("resourceNames"), urls, by)


def _matches_url(allowed: str, path: str) -> bool:
    return allowed in (ALL, path) or (allowed.endswith("*") and path.startswith(allowed.rstrip("*")))


def _aggregate(errors: tuple[str, ...]) -> str:
    """Joins errors like an Aggregate of apimachinery."""
    return errors[0] if len(errors) == 1 else f"[{', '.join(errors)}]"
