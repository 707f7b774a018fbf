"""Live events of a job over SSE, fed from Redis and from the informer's cache."""
