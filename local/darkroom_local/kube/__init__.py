"""Clients of the Kubernetes API: kubeconfig files, an asynchronous HTTP client, list and watch, kubectl."""
