"""Access to the Kubernetes API: client, connection, object helpers, and a monitor of the watches."""
