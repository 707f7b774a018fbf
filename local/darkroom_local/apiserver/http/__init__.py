"""The HTTP surface: paths, request parsing, responses, discovery and OpenAPI."""
