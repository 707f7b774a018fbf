"""boto3 clients of S3, in the one configuration that gateway, runner and local cluster share.

The only module of the contract that imports boto3; the operator, which never reads storage, doesn't import it.
"""

from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from darkroom_contract.storage.s3 import AddressingStyle

MISSING = frozenset({"NoSuchKey", "404", "NotFound"})
"""Error codes of an object that doesn't exist; the code depends on the server and the request."""

_CONFIG = Config(
    # boto3 would sign with SigV2 for some custom endpoints.
    signature_version="s3v4",
    # Checksums in trailers are AWS's own; other servers store them as content.
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
)


def client_config(style: AddressingStyle = AddressingStyle.PATH, **options: Any) -> Config:
    """The shared configuration; `options` are those of `botocore.config.Config`: timeouts, retries, pool size."""
    config: Config = _CONFIG.merge(Config(s3={"addressing_style": style.value}, **options))
    return config


def open_client(
    endpoint_url: str | None, region: str, config: Config | None = None, session: Any = None, **credentials: str | None
) -> Any:
    """An S3 client with a session of its own, unless one is given.

    `credentials` are boto3's `aws_*` arguments; without them boto3 looks in its own chain of sources.
    """
    return (session or boto3.Session()).client(
        "s3", endpoint_url=endpoint_url, region_name=region, config=config or client_config(), **credentials
    )


def read_object(client: Any, bucket: str, key: str) -> bytes | None:
    """The content of a small object, or None if it does not exist. Raises boto3's errors."""
    try:
        body: bytes = client.get_object(Bucket=bucket, Key=key)["Body"].read()
    except ClientError as error:
        if error_code(error) in MISSING:
            return None
        raise
    return body


def error_code(error: ClientError) -> str:
    """The code of S3's answer, such as `NoSuchKey`; empty when it has none."""
    return str(error.response.get("Error", {}).get("Code", ""))
