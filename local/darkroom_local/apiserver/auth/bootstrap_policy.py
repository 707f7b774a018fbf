"""The roles that every cluster begins with, as far as anybody here needs them. Written by `routes.py` at its start.

https://kubernetes.io/docs/reference/access-authn-authz/rbac/#default-roles-and-role-bindings
"""

from darkroom_local.apiserver.apimachinery.unstructured import Json
from darkroom_local.apiserver.auth.authenticator import AUTHENTICATED, MASTERS
from darkroom_local.apiserver.auth.authorizer import ALL
from darkroom_local.apiserver.registry.resource_api import RequestTarget, ResourceApi, WriteOptions
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
ONESELF = [
    {
        "verbs": ["create"],
        "apiGroups": [AUTHORIZATION],
        "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
    },
    {"verbs": ["create"], "apiGroups": [AUTHENTICATION], "resources": ["selfsubjectreviews"]},
]
ROLES: dict[str, tuple[list[dict[str, list[str]]], str]] = {
    "cluster-admin": (EVERYTHING, MASTERS),
    "system:basic-user": (ONESELF, AUTHENTICATED),
    "system:discovery": ([{"verbs": ["get"], "nonResourceURLs": list(DISCOVERY)}], AUTHENTICATED),
}
"""Each with its rules, and the group that it is bound to."""


def bootstrap_roles(api: ResourceApi) -> None:
    """Make those that are missing; what people have made of them stays."""
    for name, (rules, group) in ROLES.items():
        reference = {"apiGroup": RBAC, "kind": "ClusterRole", "name": name}
        subjects = [{"apiGroup": RBAC, "kind": "Group", "name": group}]
        _make(api, "clusterroles", name, {"rules": rules})
        _make(api, "clusterrolebindings", name, {"roleRef": reference, "subjects": subjects})


def _make(api: ResourceApi, plural: str, name: str, content: Json) -> None:
    resource = api.registry.find(RBAC, "v1", plural)
    assert resource is not None
    if api.store.get(resource.collection, "", name) is None:
        document = {"metadata": {"name": name, "labels": LABELS}, **content}
        api.create(RequestTarget(resource, ""), document, WriteOptions(manager="kube-apiserver"))
