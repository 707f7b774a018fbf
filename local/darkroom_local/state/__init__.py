"""What a local cluster keeps on disk between starts."""
