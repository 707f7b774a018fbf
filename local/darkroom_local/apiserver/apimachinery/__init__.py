"""What every Kubernetes object and request has in common; the lowest layer."""
