"""Uploaded photos: the multipart form, and their validation in decoder processes."""
