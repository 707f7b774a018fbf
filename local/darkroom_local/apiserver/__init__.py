"""A small Kubernetes API server for one machine: the real HTTP API, stored in SQLite, in one process.

For laptops, demos and tests. Started as `python -m darkroom_local.apiserver`; the rest of `local/` does not import it.
From top to bottom, and each layer imports only those below it:

http           paths, request parsing, responses, discovery, OpenAPI
auth           authentication, impersonation, RBAC
controllers    garbage collection, node lifecycle
registry       the verbs on stored objects
admission      priority, default tolerations, resource quotas
validation     decoding, defaults and validation of bodies
patching       patches, server-side apply, managed fields
resources      the served kinds
apiextensions  structural schemas and CEL rules of custom resources
storage        objects, watches, list pages
apimachinery   objects, errors, selectors
"""
