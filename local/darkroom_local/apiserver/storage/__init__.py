"""Durable objects, and the watches and list pages that read them."""
