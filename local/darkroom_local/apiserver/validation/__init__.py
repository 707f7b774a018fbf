"""Decoding, defaults and validation of request bodies."""
