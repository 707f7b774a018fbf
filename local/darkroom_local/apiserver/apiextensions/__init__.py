"""Custom resources: structural schemas and CEL rules (k8s.io/apiextensions-apiserver)."""
