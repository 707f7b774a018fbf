"""Decodes request bodies: kind, version, namespace, and the types of fields. Pure.

Kubernetes decodes bodies into Go types, which rejects a wrong type in any field. Custom kinds have schemas for that; of
built-in kinds, only the fields that this server reads are checked.
"""

from typing import Any

import jsonschema_rs

from darkroom_local.apiserver.apimachinery.errors import StatusError, bad_request, invalid, invalid_value
from darkroom_local.apiserver.apimachinery.unstructured import Json, clone, meta
from darkroom_local.apiserver.resources.registry import AUTHORIZATION, RBAC, TOKEN_REQUEST
from darkroom_local.apiserver.resources.resource import EVENTS, Resource

Schema = dict[str, Any]

STRING: Schema = {"type": ["string", "null"]}
INTEGER: Schema = {"type": ["integer", "null"]}
STRINGS: Schema = {"type": ["array", "null"], "items": {"type": "string"}}
STRING_MAP: Schema = {"type": ["object", "null"], "additionalProperties": {"type": ["string", "null"]}}


def _object(**properties: Schema) -> Schema:
    return {"type": ["object", "null"], "properties": properties}


def _list(**properties: Schema) -> Schema:
    return {"type": ["array", "null"], "items": {"type": "object", "properties": properties}}


METADATA = _object(
    name=STRING,
    generateName=STRING,
    namespace=STRING,
    uid=STRING,
    resourceVersion=STRING,
    generation=INTEGER,
    creationTimestamp=STRING,
    deletionTimestamp=STRING,
    deletionGracePeriodSeconds=INTEGER,
    labels=STRING_MAP,
    annotations=STRING_MAP,
    finalizers=STRINGS,
    ownerReferences=_list(apiVersion=STRING, kind=STRING, name=STRING, uid=STRING),
    managedFields=_list(manager=STRING, operation=STRING, subresource=STRING, fieldsV1={"type": ["object", "null"]}),
    selfLink=STRING,
)
FIELD_REFERENCE = _object(apiVersion=STRING, fieldPath=STRING)
DOWNWARD_API = _object(defaultMode=INTEGER, items=_list(path=STRING, mode=INTEGER, fieldRef=FIELD_REFERENCE))
CONTAINERS = _list(
    name=STRING,
    image=STRING,
    command=STRINGS,
    args=STRINGS,
    env=_list(name=STRING, value=STRING, valueFrom=_object(fieldRef=FIELD_REFERENCE)),
    ports=_list(),
    volumeMounts=_list(name=STRING, mountPath=STRING),
    resources={"type": ["object", "null"]},
)
REFERENCE = _object(
    **dict.fromkeys(("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath"), STRING)
)
SCHEMAS: dict[str, Schema] = {
    "/pods": _object(
        spec=_object(
            containers=CONTAINERS,
            initContainers=CONTAINERS,
            volumes=_list(name=STRING, downwardAPI=DOWNWARD_API),
            nodeName=STRING,
            priorityClassName=STRING,
            priority=INTEGER,
            activeDeadlineSeconds=INTEGER,
            restartPolicy=STRING,
            schedulingGates=_list(name=STRING),
            tolerations=_list(),
            terminationGracePeriodSeconds=INTEGER,
        ),
        status=_object(phase=STRING, conditions=_list(type=STRING), containerStatuses=_list(name=STRING)),
    ),
    "/configmaps": _object(data=STRING_MAP, binaryData=STRING_MAP),
    "/secrets": _object(data=STRING_MAP, stringData=STRING_MAP, type=STRING),
    EVENTS: _object(
        **dict.fromkeys(("involvedObject", "regarding", "related"), REFERENCE),
        **dict.fromkeys(("source", "deprecatedSource"), _object(component=STRING, host=STRING)),
        **dict.fromkeys(("message", "note", "type", "reason", "action", "eventTime", "reportingInstance"), STRING),
        **dict.fromkeys(("reportingComponent", "reportingController", "firstTimestamp", "lastTimestamp"), STRING),
        **dict.fromkeys(("deprecatedFirstTimestamp", "deprecatedLastTimestamp"), STRING),
        **dict.fromkeys(("count", "deprecatedCount"), INTEGER),
        series=_object(count=INTEGER, lastObservedTime=STRING),
    ),
    "coordination.k8s.io/leases": _object(
        spec=_object(
            holderIdentity=STRING,
            leaseDurationSeconds=INTEGER,
            acquireTime=STRING,
            renewTime=STRING,
            leaseTransitions=INTEGER,
        )
    ),
    "apiextensions.k8s.io/customresourcedefinitions": _object(
        spec=_object(
            group=STRING,
            scope=STRING,
            names=_object(
                plural=STRING, singular=STRING, kind=STRING, listKind=STRING, shortNames=STRINGS, categories=STRINGS
            ),
            versions=_list(
                name=STRING,
                schema={"type": ["object", "null"]},
                additionalPrinterColumns=_list(name=STRING, jsonPath=STRING),
            ),
        )
    ),
}
WORKLOAD = _object(
    spec=_object(selector=_object(matchLabels=STRING_MAP), template=_object(metadata=_object(labels=STRING_MAP))),
    status={"type": ["object", "null"]},
)
RULES = _list(verbs=STRINGS, apiGroups=STRINGS, resources=STRINGS, resourceNames=STRINGS, nonResourceURLs=STRINGS)
BINDING = _object(
    subjects=_list(kind=STRING, apiGroup=STRING, name=STRING, namespace=STRING),
    roleRef=_object(apiGroup=STRING, kind=STRING, name=STRING),
)
ATTRIBUTES = dict.fromkeys(("verb", "group", "version", "resource", "subresource", "namespace", "name"), STRING)
REVIEW = _object(
    spec=_object(
        resourceAttributes=_object(**ATTRIBUTES),
        nonResourceAttributes=_object(verb=STRING, path=STRING),
        namespace=STRING,
        user=STRING,
        groups=STRINGS,
        uid=STRING,
    )
)
SCHEMAS |= {
    **{f"apps/{plural}": WORKLOAD for plural in ("daemonsets", "deployments", "replicasets", "statefulsets")},
    "/resourcequotas": _object(
        spec=_object(
            hard={"type": ["object", "null"], "additionalProperties": {"type": ["string", "number"]}},
            scopes=STRINGS,
            scopeSelector=_object(matchExpressions=_list(scopeName=STRING, operator=STRING, values=STRINGS)),
        )
    ),
    "scheduling.k8s.io/priorityclasses": _object(
        value=INTEGER, globalDefault={"type": ["boolean", "null"]}, description=STRING, preemptionPolicy=STRING
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
        spec=_object(
            audiences=STRINGS, expirationSeconds=INTEGER, boundObjectRef=_object(kind=STRING, name=STRING, uid=STRING)
        )
    ),
}
ANY_OBJECT = _object(spec={"type": ["object", "null"]}, status={"type": ["object", "null"]})


def _validator(schema: Schema) -> jsonschema_rs.Draft202012Validator:
    complete = {**schema, "properties": {**schema["properties"], "metadata": METADATA}}
    return jsonschema_rs.Draft202012Validator(complete)


VALIDATORS = {collection: _validator(schema) for collection, schema in SCHEMAS.items()}
ANY_BUILT_IN, ANY_CUSTOM = _validator(ANY_OBJECT), _validator(_object())


def _type_mismatch(resource: Resource, document: Json, field: str, expected: str) -> StatusError:
    given = document[field]
    if field == "kind" and resource.custom:
        name = (document.get("metadata") or {}).get("name", "")
        return invalid(resource.kind, resource.group, name, [invalid_value(field, given, f"must be {expected}")])
    return bad_request(f"the {field} in the data ({given}) does not match the expected {field} ({expected})")


def decode_object(resource: Resource, namespace: str, body: Any) -> Json:
    """A copy of a request's body, with kind, version and namespace set. Raises 400 if they differ from the URL's, and
    422 for the wrong kind of a custom resource."""
    if not isinstance(body, dict):
        raise bad_request("the body of the request must be a JSON object")
    document: Json = clone(body)
    for field, expected in (("apiVersion", resource.group_version), ("kind", resource.kind)):
        if document.setdefault(field, expected) != expected:
            raise _type_mismatch(resource, document, field, expected)
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
    """Remove unknown fields of the metadata, in place; returns their paths."""
    metadata = document["metadata"]
    unknown = [field for field in metadata if field not in METADATA["properties"]]
    for field in unknown:
        del metadata[field]
    return [f"metadata.{field}" for field in unknown]


def without_nulls(value: Any) -> Any:
    """For built-in kinds, where null means absent."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value
