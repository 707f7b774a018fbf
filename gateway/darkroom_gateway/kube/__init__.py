"""The Kubernetes client and the informer."""
