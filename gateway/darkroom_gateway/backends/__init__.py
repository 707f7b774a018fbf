"""Calls of the API server and object storage: deadlines and concurrency limits."""
