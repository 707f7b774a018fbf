"""The paths that need no API key. Decided by app.py, used by the middleware and by the OpenAPI document."""

from dataclasses import dataclass


@dataclass(frozen=True)
class OpenPaths:
    """`path in open_paths`: one of the exact paths, or below one of the folders."""

    exact: frozenset[str]
    folders: tuple[str, ...] = ()
    """Each ends with a slash."""

    def __contains__(self, path: object) -> bool:
        return isinstance(path, str) and (path in self.exact or path.startswith(self.folders))
