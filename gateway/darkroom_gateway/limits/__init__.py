"""Limits of what clients may ask for: requests a minute, the length of the queue, and quotas of API keys."""
