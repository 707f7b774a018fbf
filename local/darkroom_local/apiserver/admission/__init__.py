"""Admission plugins: priority, default tolerations and resource quotas."""
