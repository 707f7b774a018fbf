"""Object storage: keys, folders that trainings may read, and S3 endpoints."""
