"""The embedded cluster: API server, node, Redis and S3 on loopback, for laptops, demos and tests."""
