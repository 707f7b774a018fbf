"""Patches, server-side apply, and the fields that each manager owns."""
