"""The local cluster: starts and stops every component, on loopback, with one state directory."""
