"""Limits of requests, and the quotas that jobs/submission_limits.py applies."""
