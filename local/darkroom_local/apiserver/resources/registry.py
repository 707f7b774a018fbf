"""All resources that the server serves: the built-in kinds, and those that definitions add at run time."""

from collections.abc import Iterable
from dataclasses import replace

from darkroom_local.apiserver.resources import event_views
from darkroom_local.apiserver.resources.resource import EVENTS, Resource


def _core(plural: str, kind: str, namespaced: bool, **more: object) -> Resource:
    return replace(Resource("", "v1", plural, kind, namespaced), **more)  # type: ignore[arg-type]


def _review(group: str, kind: str) -> Resource:
    return Resource(group, "v1", f"{kind.lower()}s", kind, False, verbs=("create",))


def _workload(group: str, plural: str, kind: str, *short_names: str, subresources: tuple[str, ...]) -> Resource:
    return Resource(
        group, "v1", plural, kind, True, short_names, ("all",), subresources=subresources, has_generation=True
    )


POD_FIELDS = frozenset(
    {"spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName"}
    | {"status.phase", "status.podIP", "status.nominatedNodeName"}
)
STATUS = ("status",)
RBAC = "rbac.authorization.k8s.io"
AUTHENTICATION, AUTHORIZATION = "authentication.k8s.io", "authorization.k8s.io"

BUILT_INS: tuple[Resource, ...] = (
    _core(
        "namespaces", "Namespace", False, short_names=("ns",), subresources=STATUS, fields=frozenset({"status.phase"})
    ),
    _core(
        "pods",
        "Pod",
        True,
        short_names=("po",),
        categories=("all",),
        subresources=("status", "log", "binding", "eviction"),
        fields=POD_FIELDS,
        has_generation=True,
    ),
    _core("nodes", "Node", False, short_names=("no",), subresources=STATUS, fields=frozenset({"spec.unschedulable"})),
    _core("secrets", "Secret", True, fields=frozenset({"type"})),
    _core("configmaps", "ConfigMap", True, short_names=("cm",)),
    _core("services", "Service", True, short_names=("svc",), categories=("all",), subresources=STATUS),
    _core("endpoints", "Endpoints", True, short_names=("ep",)),
    _core("serviceaccounts", "ServiceAccount", True, short_names=("sa",), subresources=("token",)),
    _core("events", "Event", True, short_names=("ev",), fields=event_views.CORE_FIELDS),
    _core("persistentvolumeclaims", "PersistentVolumeClaim", True, short_names=("pvc",), subresources=STATUS),
    _core("persistentvolumes", "PersistentVolume", False, short_names=("pv",), subresources=STATUS),
    _core("resourcequotas", "ResourceQuota", True, short_names=("quota",), subresources=STATUS),
    _core("limitranges", "LimitRange", True, short_names=("limits",)),
    Resource("coordination.k8s.io", "v1", "leases", "Lease", True),
    Resource(
        event_views.GROUP,
        "v1",
        "events",
        "Event",
        True,
        ("ev",),
        fields=event_views.FIELDS,
        collection=EVENTS,
    ),
    Resource(
        "apiextensions.k8s.io",
        "v1",
        "customresourcedefinitions",
        "CustomResourceDefinition",
        False,
        ("crd", "crds"),
        ("api-extensions",),
        STATUS,
        has_generation=True,
    ),
    Resource("scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", False, ("pc",)),
    _workload("apps", "deployments", "Deployment", "deploy", subresources=STATUS),
    _workload("apps", "replicasets", "ReplicaSet", "rs", subresources=STATUS),
    _workload("apps", "statefulsets", "StatefulSet", "sts", subresources=STATUS),
    _workload("apps", "daemonsets", "DaemonSet", "ds", subresources=STATUS),
    _workload("batch", "jobs", "Job", subresources=STATUS),
    _workload("batch", "cronjobs", "CronJob", "cj", subresources=STATUS),
    Resource(RBAC, "v1", "roles", "Role", True),
    Resource(RBAC, "v1", "rolebindings", "RoleBinding", True),
    Resource(RBAC, "v1", "clusterroles", "ClusterRole", False),
    Resource(RBAC, "v1", "clusterrolebindings", "ClusterRoleBinding", False),
    Resource("networking.k8s.io", "v1", "ingresses", "Ingress", True, ("ing",), (), STATUS, has_generation=True),
    Resource("networking.k8s.io", "v1", "ingressclasses", "IngressClass", False, has_generation=True),
    Resource("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", True, ("netpol",), has_generation=True),
    Resource(
        "policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", True, ("pdb",), (), STATUS, has_generation=True
    ),
    Resource(
        "autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler", True, ("hpa",), ("all",), STATUS
    ),
    Resource("storage.k8s.io", "v1", "storageclasses", "StorageClass", False, ("sc",)),
    _review(AUTHENTICATION, "SelfSubjectReview"),
    _review(AUTHORIZATION, "SelfSubjectAccessReview"),
    _review(AUTHORIZATION, "SelfSubjectRulesReview"),
    _review(AUTHORIZATION, "SubjectAccessReview"),
)

TOKEN_REQUEST = Resource(AUTHENTICATION, "v1", "tokenrequests", "TokenRequest", True)
"""The body of `serviceaccounts/token`; it has no path of its own."""


class Registry:
    """The resources that are served at the moment, by group, version and plural."""

    def __init__(self) -> None:
        self._resources = {_key(each): each for each in BUILT_INS}

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        return self._resources.get((group, version, plural))

    def built_in(self, group: str, plural: str) -> Resource:
        """A built-in kind at v1. Raises `KeyError`."""
        return self._resources[group, "v1", plural]

    def find_kind(self, group: str, version: str, kind: str) -> Resource | None:
        for resource in self._resources.values():
            if (resource.group, resource.version, resource.kind) == (group, version, kind):
                return resource
        return None

    def for_collection(self, collection: str) -> Resource | None:
        """Any version of the kind that this collection stores."""
        for resource in self._resources.values():
            if resource.collection == collection:
                return resource
        return None

    def of_version(self, group: str, version: str) -> list[Resource]:
        return [each for each in self._resources.values() if (each.group, each.version) == (group, version)]

    def group_versions(self) -> dict[str, list[str]]:
        """Each group's versions, the preferred one first; the core group comes first."""
        groups: dict[str, list[str]] = {"": []}
        for resource in self._resources.values():
            versions = groups.setdefault(resource.group, [])
            if resource.version not in versions:
                versions.append(resource.version)
        return groups

    def put_custom(self, group: str, plural: str, resources: Iterable[Resource]) -> None:
        """Replace the served versions of a custom kind."""
        self.drop_custom(group, plural)
        self._resources |= {_key(each): each for each in resources}

    def drop_custom(self, group: str, plural: str) -> None:
        for key, resource in list(self._resources.items()):
            if resource.custom and (resource.group, resource.plural) == (group, plural):
                del self._resources[key]


def _key(resource: Resource) -> tuple[str, str, str]:
    return resource.group, resource.version, resource.plural
