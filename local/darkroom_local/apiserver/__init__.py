"""A small Kubernetes API server for one machine: the real HTTP API, kept in SQLite, in one process.

For laptops, demos and tests. Started as `python -m darkroom_local.apiserver`; nothing else imports it.
"""
