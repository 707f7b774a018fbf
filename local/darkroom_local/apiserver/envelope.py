"""What every body of a request must look like before anything reads it. Pure; called by verbs and objects.

Kubernetes decodes bodies into Go types, which refuses a wrong type anywhere. Custom kinds have their schemas for that;
of the built-in ones only what this server itself reads is checked.
"""

from typing import Any

import jsonschema_rs

from darkroom_local.apiserver import event_views
from darkroom_local.apiserver.documents import Json, clone, meta
from darkroom_local.apiserver.errors import StatusError, bad_request, invalid, invalid_value
from darkroom_local.apiserver.registry import AUTHORIZATION, RBAC, TOKEN_REQUEST, Resource

Schema = dict[str, Any]

TEXT: Schema = {"type": ["string", "null"]}
WHOLE: Schema = {"type": ["integer", "null"]}
TEXTS: Schema = {"type": ["array", "null"], "items": {"type": "string"}}
TEXT_MAP: Schema = {"type": ["object", "null"], "additionalProperties": {"type": ["string", "null"]}}


def _object(**properties: Schema) -> Schema:
    return {"type": ["object", "null"], "properties": properties}


def _list(**properties: Schema) -> Schema:
    return {"type": ["array", "null"], "items": {"type": "object", "properties": properties}}


METADATA = _object(
    name=TEXT,
    generateName=TEXT,
    namespace=TEXT,
    uid=TEXT,
    resourceVersion=TEXT,
    generation=WHOLE,
    creationTimestamp=TEXT,
    deletionTimestamp=TEXT,
    deletionGracePeriodSeconds=WHOLE,
    labels=TEXT_MAP,
    annotations=TEXT_MAP,
    finalizers=TEXTS,
    ownerReferences=_list(apiVersion=TEXT, kind=TEXT, name=TEXT, uid=TEXT),
    managedFields=_list(manager=TEXT, operation=TEXT, subresource=TEXT, fieldsV1={"type": ["object", "null"]}),
    selfLink=TEXT,
)
CONTAINERS = _list(
    name=TEXT,
    image=TEXT,
    command=TEXTS,
    args=TEXTS,
    env=_list(name=TEXT, value=TEXT),
    ports=_list(),
    volumeMounts=_list(name=TEXT, mountPath=TEXT),
    resources={"type": ["object", "null"]},
)
REFERENCE = _object(
    **dict.fromkeys(("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath"), TEXT)
)
SHAPES: dict[str, Schema] = {
    "/pods": _object(
        spec=_object(
            containers=CONTAINERS,
            initContainers=CONTAINERS,
            volumes=_list(name=TEXT),
            nodeName=TEXT,
            priorityClassName=TEXT,
            priority=WHOLE,
            activeDeadlineSeconds=WHOLE,
            restartPolicy=TEXT,
            schedulingGates=_list(name=TEXT),
            tolerations=_list(),
            terminationGracePeriodSeconds=WHOLE,
        ),
        status=_object(phase=TEXT, conditions=_list(type=TEXT), containerStatuses=_list(name=TEXT)),
    ),
    "/configmaps": _object(data=TEXT_MAP, binaryData=TEXT_MAP),
    "/secrets": _object(data=TEXT_MAP, stringData=TEXT_MAP, type=TEXT),
    event_views.COLLECTION: _object(
        **dict.fromkeys(("involvedObject", "regarding", "related"), REFERENCE),
        **dict.fromkeys(("source", "deprecatedSource"), _object(component=TEXT, host=TEXT)),
        **dict.fromkeys(("message", "note", "type", "reason", "action", "eventTime", "reportingInstance"), TEXT),
        **dict.fromkeys(("reportingComponent", "reportingController", "firstTimestamp", "lastTimestamp"), TEXT),
        **dict.fromkeys(("deprecatedFirstTimestamp", "deprecatedLastTimestamp"), TEXT),
        **dict.fromkeys(("count", "deprecatedCount"), WHOLE),
        series=_object(count=WHOLE, lastObservedTime=TEXT),
    ),
    "coordination.k8s.io/leases": _object(
        spec=_object(
            holderIdentity=TEXT, leaseDurationSeconds=WHOLE, acquireTime=TEXT, renewTime=TEXT, leaseTransitions=WHOLE
        )
    ),
    "apiextensions.k8s.io/customresourcedefinitions": _object(
        spec=_object(
            group=TEXT,
            scope=TEXT,
            names=_object(plural=TEXT, singular=TEXT, kind=TEXT, listKind=TEXT, shortNames=TEXTS, categories=TEXTS),
            versions=_list(
                name=TEXT, schema={"type": ["object", "null"]}, additionalPrinterColumns=_list(name=TEXT, jsonPath=TEXT)
            ),
        )
    ),
}
WORKLOAD = _object(
    spec=_object(selector=_object(matchLabels=TEXT_MAP), template=_object(metadata=_object(labels=TEXT_MAP))),
    status={"type": ["object", "null"]},
)
RULES = _list(verbs=TEXTS, apiGroups=TEXTS, resources=TEXTS, resourceNames=TEXTS, nonResourceURLs=TEXTS)
BINDING = _object(
    subjects=_list(kind=TEXT, apiGroup=TEXT, name=TEXT, namespace=TEXT),
    roleRef=_object(apiGroup=TEXT, kind=TEXT, name=TEXT),
)
WANTED = dict.fromkeys(("verb", "group", "version", "resource", "subresource", "namespace", "name"), TEXT)
REVIEW = _object(
    spec=_object(
        resourceAttributes=_object(**WANTED),
        nonResourceAttributes=_object(verb=TEXT, path=TEXT),
        namespace=TEXT,
        user=TEXT,
        groups=TEXTS,
        uid=TEXT,
    )
)
SHAPES |= {
    **{f"apps/{plural}": WORKLOAD for plural in ("daemonsets", "deployments", "replicasets", "statefulsets")},
    "/resourcequotas": _object(
        spec=_object(
            hard={"type": ["object", "null"], "additionalProperties": {"type": ["string", "number"]}},
            scopes=TEXTS,
            scopeSelector=_object(matchExpressions=_list(scopeName=TEXT, operator=TEXT, values=TEXTS)),
        )
    ),
    "scheduling.k8s.io/priorityclasses": _object(
        value=WHOLE, globalDefault={"type": ["boolean", "null"]}, description=TEXT, preemptionPolicy=TEXT
    ),
    f"{RBAC}/roles": _object(rules=RULES),
    f"{RBAC}/clusterroles": _object(rules=RULES),
    f"{RBAC}/rolebindings": BINDING,
    f"{RBAC}/clusterrolebindings": BINDING,
    **{
        f"{AUTHORIZATION}/{review}": REVIEW
        for review in ("selfsubjectaccessreviews", "selfsubjectrulesreviews", "subjectaccessreviews")
    },
    TOKEN_REQUEST.collection: _object(
        spec=_object(audiences=TEXTS, expirationSeconds=WHOLE, boundObjectRef=_object(kind=TEXT, name=TEXT, uid=TEXT))
    ),
}
ANYTHING = _object(spec={"type": ["object", "null"]}, status={"type": ["object", "null"]})


def _validator(shape: Schema) -> jsonschema_rs.Draft202012Validator:
    whole = {**shape, "properties": {**shape["properties"], "metadata": METADATA}}
    return jsonschema_rs.Draft202012Validator(whole)


VALIDATORS = {collection: _validator(shape) for collection, shape in SHAPES.items()}
ANY_BUILT_IN, ANY_CUSTOM = _validator(ANYTHING), _validator(_object())


def _other_type(resource: Resource, document: Json, field: str, expected: str) -> StatusError:
    given = document[field]
    if field == "kind" and resource.custom:
        name = (document.get("metadata") or {}).get("name", "")
        return invalid(resource.kind, resource.group, name, [invalid_value(field, given, f"must be {expected}")])
    return bad_request(f"the {field} in the data ({given}) does not match the expected {field} ({expected})")


def check_envelope(resource: Resource, namespace: str, body: Any) -> Json:
    """A copy of a request's body with kind, version and namespace filled in. Raises 400 if the path differs, 422 for
    another kind where a custom one belongs."""
    if not isinstance(body, dict):
        raise bad_request("the body of the request must be a JSON object")
    document: Json = clone(body)
    for field, expected in (("apiVersion", resource.group_version), ("kind", resource.kind)):
        if document.setdefault(field, expected) != expected:
            raise _other_type(resource, document, field, expected)
    _check_types(resource, document)
    metadata = document["metadata"] = without_nulls(meta(document))
    if not metadata.get("namespace"):
        metadata.pop("namespace", None)
    if resource.namespaced and metadata.setdefault("namespace", namespace) != namespace:
        raise bad_request(
            f"the namespace of the provided object does not match the namespace sent on the request "
            f"({metadata['namespace']} is not {namespace})"
        )
    return document if resource.custom else without_nulls(document)


def _check_types(resource: Resource, document: Json) -> None:
    validator = VALIDATORS.get(resource.collection, ANY_CUSTOM if resource.custom else ANY_BUILT_IN)
    for error in validator.iter_errors(document):
        field = ".".join(str(step) for step in error.instance_path)
        raise undecodable(resource, f"{field}: {error.message}")
    if document.get("metadata") is None:
        document["metadata"] = {}


def undecodable(resource: Resource, why: str) -> StatusError:
    version = f'{resource.kind} in version "{resource.version}"'
    return bad_request(f"{version} cannot be handled as a {resource.kind}: {why}")


def drop_unknown_metadata(document: Json) -> list[str]:
    """Remove what no object's metadata has, in place; the paths of what was removed."""
    metadata = document["metadata"]
    unknown = [field for field in metadata if field not in METADATA["properties"]]
    for field in unknown:
        del metadata[field]
    return [f"metadata.{field}" for field in unknown]


def without_nulls(value: Any) -> Any:
    """Null is the same as nothing to a built-in kind."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value
