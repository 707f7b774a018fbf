"""REST gateway (FastAPI): turns requests into custom resources, and returns status, live events and presigned links."""
