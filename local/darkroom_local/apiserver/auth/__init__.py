"""Authentication, impersonation and RBAC authorization."""
