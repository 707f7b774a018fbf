"""The embedded S3 server (`python -m darkroom_local.s3`), and the bucket in it as its clients see it."""
