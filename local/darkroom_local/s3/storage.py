"""Address, credentials and bucket of the embedded object storage. Used by the cluster and by tests."""

import os
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from darkroom_contract import environment
from darkroom_contract.storage.keys import dataset_uri
from darkroom_contract.storage.s3_client import open_client
from darkroom_local.example_photos import PICTURES_PREFIX, PREFIX, example_objects

BUCKET = "darkroom"
EXAMPLE_PHOTOS = dataset_uri(BUCKET, PREFIX)
"""The dataset of `examples/train.yaml`, which jobs of every namespace may read."""
EXAMPLE_FOLDERS = f"{EXAMPLE_PHOTOS} {dataset_uri(BUCKET, PICTURES_PREFIX)}"
"""All folders of sample files, as `environment.DATASET_URIS`."""
REGION = "us-east-1"


@dataclass(frozen=True)
class Storage:
    """One S3 server with one bucket."""

    port: int
    access_key: str
    secret_key: str

    @property
    def endpoint_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def environment(self) -> dict[str, str]:
        """Settings of gateway and runner. The user's own AWS profiles are disabled."""
        return {
            environment.S3_ENDPOINT_URL: self.endpoint_url,
            environment.S3_BUCKET: BUCKET,
            environment.S3_REGION: REGION,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self) -> Any:
        """A boto3 client."""
        return open_client(
            self.endpoint_url,
            REGION,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
        )

    def create_bucket(self) -> None:
        """Create the bucket, with the sample files, if it does not exist."""
        with closing(self.client()) as client:
            if BUCKET in {each["Name"] for each in client.list_buckets()["Buckets"]}:
                return
            client.create_bucket(Bucket=BUCKET)
            for key, path in example_objects().items():
                client.put_object(Bucket=BUCKET, Key=key, Body=path.read_bytes(), ContentType="image/png")
