"""A kind at one version, as URLs, storage and validation need it."""

from dataclasses import dataclass

from darkroom_local.apiserver.apiextensions.custom_type import CustomType

VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
DEFINITIONS = "apiextensions.k8s.io/customresourcedefinitions"
EVENTS, NAMESPACES, NODES, PODS = "/events", "/namespaces", "/nodes", "/pods"
PRIORITY_CLASSES, QUOTAS = "scheduling.k8s.io/priorityclasses", "/resourcequotas"
LEASES, SERVICE_ACCOUNTS = "coordination.k8s.io/leases", "/serviceaccounts"
"""Collections: where the store keeps these kinds."""


@dataclass(frozen=True)
class Resource:
    """One kind at one version."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    fields: frozenset[str] = frozenset()
    """Fields that a field selector may name, besides name and namespace."""
    has_generation: bool = False
    singular: str = ""
    list_kind: str = ""
    collection: str = ""
    """Where the store keeps it; all versions of a kind share one collection."""
    custom: CustomType | None = None
    """None for a built-in kind."""
    verbs: tuple[str, ...] = VERBS

    def __post_init__(self) -> None:
        object.__setattr__(self, "singular", self.singular or self.kind.lower())
        object.__setattr__(self, "list_kind", self.list_kind or f"{self.kind}List")
        object.__setattr__(self, "collection", self.collection or f"{self.group}/{self.plural}")

    @property
    def group_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def is_stored(self) -> bool:
        """False for reviews, which are answered and never stored."""
        return "get" in self.verbs

    @property
    def has_status(self) -> bool:
        return "status" in self.subresources
