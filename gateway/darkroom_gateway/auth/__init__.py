"""API keys and the middleware that requires them."""
