"""REST storage: the verbs of the API on stored objects (pkg/registry of Kubernetes)."""
