"""Object storage and presigned links."""
