"""Controllers of the control plane that run inside the server."""
