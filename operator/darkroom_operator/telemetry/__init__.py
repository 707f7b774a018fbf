"""What the operator reports about itself: metrics, health endpoints, Kubernetes Events."""
