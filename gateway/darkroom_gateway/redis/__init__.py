"""Clients of Redis, which may vanish at any time without harm."""
