"""The HTTP server, its limits, middleware, and errors as problem details. Knows no feature."""
