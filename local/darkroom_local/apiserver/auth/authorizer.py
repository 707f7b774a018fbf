"""Who may do what: Roles, ClusterRoles and their bindings, as Kubernetes' RBAC authorizer reads them.

Asked by `routes.py` before every request when the server enforces rights, and by `reviews.py`. Owns no state but a
cache of each user's rules, which every write of a role or a binding empties at once.
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
CACHED = 1000
"""Pairs of user and namespace whose rules are kept at most."""


@dataclass(frozen=True)
class Decision:
    allowed: bool
    reason: str = ""


@dataclass(frozen=True)
class GrantedRule:
    """One rule that a user has, and by which binding."""

    rule: Json
    verbs: frozenset[str]
    groups: frozenset[str]
    resources: frozenset[str]
    names: frozenset[str]
    """Of objects; none: of all."""
    urls: tuple[str, ...]
    by: str

    def allows(self, wanted: Attributes) -> bool:
        if wanted.verb not in self.verbs and ALL not in self.verbs:
            return False
        if not wanted.is_resource:
            return any(_is_url(url, wanted.path) for url in self.urls)
        return (
            (wanted.group in self.groups or ALL in self.groups)
            and self._has_resource(wanted)
            and (not self.names or wanted.name in self.names)
        )

    def _has_resource(self, wanted: Attributes) -> bool:
        if wanted.combined in self.resources or ALL in self.resources:
            return True
        return bool(wanted.subresource) and f"*/{wanted.subresource}" in self.resources


@dataclass(frozen=True)
class UserRules:
    """All that a user may do in one namespace, or in the cluster as a whole; and the roles that could not be found."""

    grants: tuple[GrantedRule, ...]
    missing: tuple[str, ...]
    by_resource: dict[tuple[str, str], list[GrantedRule]]
    """Those that name their groups and resources, by each of them: of a hundred roles few are about one resource."""
    broad: list[GrantedRule]
    """The others."""

    @classmethod
    def of(cls, grants: list[GrantedRule], missing: list[str]) -> "UserRules":
        rights = cls(tuple(grants), tuple(dict.fromkeys(missing)), defaultdict(list), [])
        for grant in grants:
            if any(ALL in word for word in grant.groups | grant.resources) or not grant.resources:
                rights.broad.append(grant)
                continue
            for key in product(grant.groups, grant.resources):
                rights.by_resource[key].append(grant)
        return rights

    def find(self, wanted: Attributes) -> GrantedRule | None:
        """What allows it."""
        narrow = self.by_resource.get((wanted.group, wanted.combined), ())
        return next((grant for grant in (*narrow, *self.broad) if grant.allows(wanted)), None)


class Authorizer:
    """Decides. Where rights are not enforced everybody who is known may do everything."""

    def __init__(self, store: Store, enforced: bool) -> None:
        self.enforced = enforced
        self._store = store
        self._cache: dict[tuple[User, str], UserRules] = {}
        store.listen(self._forget)

    def require(self, user: User, wanted: Attributes) -> None:
        """Raises 403."""
        decision = self.decide(user, wanted)
        if not decision.allowed:
            raise wanted.refusal(user.name, decision.reason)

    def decide(self, user: User, wanted: Attributes) -> Decision:
        if not self.enforced or MASTERS in user.groups:
            return Decision(True)
        rights = self.rights(user, wanted.namespace if wanted.is_resource else "")
        if grant := rights.find(wanted):
            return Decision(True, f"RBAC: allowed by {grant.by}")
        return Decision(False, f"RBAC: {_listed(rights.missing)}" if rights.missing else "")

    def rights(self, user: User, namespace: str) -> UserRules:
        key = (user, namespace)
        if key not in self._cache:
            if len(self._cache) >= CACHED:
                self._cache.clear()
            self._cache[key] = self._find(user, namespace)
        return self._cache[key]

    def _forget(self, event: Event) -> None:
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
        """The bindings that name a user, each with the subject that does."""
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


def _is_url(allowed: str, path: str) -> bool:
    return allowed in (ALL, path) or (allowed.endswith("*") and path.startswith(allowed.rstrip("*")))


def _listed(errors: tuple[str, ...]) -> str:
    """As Kubernetes joins errors (an Aggregate of apimachinery)."""
    return errors[0] if len(errors) == 1 else f"[{', '.join(errors)}]"
