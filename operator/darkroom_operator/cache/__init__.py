"""The in-memory state: watch handlers and resync fill it, `cache.py` turns it into snapshots."""
