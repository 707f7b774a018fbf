"""Settings of object storage that gateway and runner share. For credentials, boto3 has its own chain of sources."""

from typing import Annotated, Self

from pydantic import BeforeValidator, ValidationInfo, field_validator, model_validator
from pydantic_settings import NoDecode

from darkroom_contract import environment
from darkroom_contract.settings import EnvironmentSettings, variable
from darkroom_contract.storage.datasets import read_allowed_uris
from darkroom_contract.storage.s3 import AddressingStyle, read_addressing_style, read_endpoint_url, require_host_for


def _read_dataset_uris(given: object) -> object:
    return read_allowed_uris(given) if isinstance(given, str) else given


DatasetUris = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_read_dataset_uris)]
"""Folders with photos. The text form is separated by white space or commas."""


class StorageSettings(EnvironmentSettings):
    """Where the bucket is."""

    s3_bucket: str = variable(environment.S3_BUCKET, "darkroom")
    """Bucket for photos, pictures, clips and LoRAs."""
    s3_endpoint_url: str | None = variable(environment.S3_ENDPOINT_URL, None)
    """Endpoint of the object storage, such as `https://minio.example.com`. Unset: AWS."""
    s3_region: str = variable(environment.S3_REGION, "us-east-1")
    """Region of the bucket."""
    s3_addressing_style: AddressingStyle = variable(environment.S3_ADDRESSING_STYLE, AddressingStyle.PATH)
    """Where the bucket stands in URLs: `path`, `virtual` (a host name of its own), or `auto` (boto3 chooses)."""

    @field_validator("s3_endpoint_url", "s3_public_endpoint_url", mode="before", check_fields=False)
    @classmethod
    def _read_endpoint_url(cls, given: str | None, info: ValidationInfo) -> str | None:
        return read_endpoint_url(str(cls.model_fields[str(info.field_name)].validation_alias), given)

    @field_validator("s3_addressing_style", mode="before")
    @classmethod
    def _read_addressing_style(cls, given: str) -> AddressingStyle:
        return read_addressing_style(given)

    @model_validator(mode="after")
    def _require_host(self) -> Self:
        require_host_for(self.s3_addressing_style, self.s3_bucket, *self._endpoint_urls())
        return self

    def _endpoint_urls(self) -> tuple[str | None, ...]:
        return (self.s3_endpoint_url,)
