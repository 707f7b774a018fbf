"""The reconcile loop: plans actions on a snapshot and sends them to the API server."""
