"""POST /generate/* and GET /images."""
