"""nanio's storage, with objects whose metadata is JSON of another shape. Used by server.py."""

from pathlib import Path
from typing import Any

from nanio.errors import NoSuchKey
from nanio.storage.filesystem import FilesystemStorage
from nanio.storage.metadata import synthesize_metadata_from_stat


class ObjectFiles(FilesystemStorage):  # type: ignore[misc]  # nanio has no types.
    """nanio describes an object without readable metadata by its file. Here this is also done where the metadata is
    `[]`, or has null for a size, which nanio answers with 500."""

    def _read_or_synthesize_metadata(self, bucket: str, key: str, opath: Path) -> Any:
        try:
            return super()._read_or_synthesize_metadata(bucket, key, opath)
        except TypeError:
            return info_of_file(opath, key)


def info_of_file(file: Path, key: str) -> Any:
    """Raises `NoSuchKey`."""
    try:
        return synthesize_metadata_from_stat(file, key)
    except FileNotFoundError:
        raise NoSuchKey(resource=key) from None
