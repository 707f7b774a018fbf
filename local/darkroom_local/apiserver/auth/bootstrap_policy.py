"""The default ClusterRoles and bindings that this server needs.

https://kubernetes.io/docs/reference/access-authn-authz/rbac/#default-roles-and-role-bindings
"""

from darkroom_local.apiserver.apimachinery.unstructured import Json
from darkroom_local.apiserver.auth.authenticator import AUTHENTICATED, MASTERS
from darkroom_local.apiserver.auth.authorizer import ALL
from darkroom_local.apiserver.registry.request import RequestTarget, WriteOptions
from darkroom_local.apiserver.registry.resource_api import ResourceApi
from darkroom_local.apiserver.resources.registry import AUTHENTICATION, AUTHORIZATION, RBAC

LABELS = {"kubernetes.io/bootstrapping": "rbac-defaults"}
DISCOVERY = (
    "/api",
    "/api/*",
    "/apis",
    "/apis/*",
    "/healthz",
    "/livez",
    "/openapi",
    "/openapi/*",
    "/readyz",
    "/version",
)
EVERYTHING = [
    {"verbs": [ALL], "apiGroups": [ALL], "resources": [ALL]},
    {"verbs": [ALL], "nonResourceURLs": [ALL]},
]
SELF_REVIEWS = [
    {
        "verbs": ["create"],
        "apiGroups": [AUTHORIZATION],
        "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
    },
    {"verbs": ["create"], "apiGroups": [AUTHENTICATION], "resources": ["selfsubjectreviews"]},
]
ROLES: dict[str, tuple[list[dict[str, list[str]]], str]] = {
    "cluster-admin": (EVERYTHING, MASTERS),
    "system:basic-user": (SELF_REVIEWS, AUTHENTICATED),
    "system:discovery": ([{"verbs": ["get"], "nonResourceURLs": list(DISCOVERY)}], AUTHENTICATED),
}
"""By name: the rules, and the group that has the role."""


def bootstrap_roles(api: ResourceApi) -> None:
    """Create missing roles and bindings; existing ones stay as they are."""
    for name, (rules, group) in ROLES.items():
        reference = {"apiGroup": RBAC, "kind": "ClusterRole", "name": name}
        subjects = [{"apiGroup": RBAC, "kind": "Group", "name": group}]
        _ensure(api, "clusterroles", name, {"rules": rules})
        _ensure(api, "clusterrolebindings", name, {"roleRef": reference, "subjects": subjects})


def _ensure(api: ResourceApi, plural: str, name: str, content: Json) -> None:
    resource = api.registry.built_in(RBAC, plural)
    if api.store.get(resource.collection, "", name) is None:
        document = {"metadata": {"name": name, "labels": LABELS}, **content}
        api.create(RequestTarget(resource, ""), document, WriteOptions(manager="kube-apiserver"))
