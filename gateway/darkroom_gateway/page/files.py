"""The files of the page, read and compressed once. Used by router.py. Knows no HTTP but media types and encodings.

The URL of a file contains the hash of all files: browsers may keep a file for a year, and the relative imports of the
modules stay within one version. Only index.html is revalidated. Into it go the root path, the hash, and a preload for
each module, without which a browser would find the modules one level of imports after the other.
"""

import gzip
import hashlib
import html
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources.abc import Traversable

INDEX = "index.html"
FOLDER = "/page/"
"""The path of all files but the index."""

MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".md": "text/plain; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}
"""By the end of the name. Other files, such as type declarations, are not served."""

_MIN_SAVED_BYTES = 100
"""What compression must save, or the file is sent as it is."""

_VERSION_DIGITS = 12

_REFERENCE = re.compile(r'(?P<attribute>\s(?:href|src)=")(?:/?page/|\./)?(?P<name>[^"]+)"')
_HEAD = re.compile(r"<head>\s*")
_MODULE = re.compile(r'<script type="module" src="(?:/?page/|\./)?(?P<name>[^"]+)"')
_IMPORT = re.compile(r"""\b(?:from|import)\s*["'](?P<path>\.{1,2}/[^"']+)["']""")
"""Static imports. `import(...)` is for what the page loads later."""


@dataclass(frozen=True)
class PageFile:
    media_type: str
    content: bytes
    compressed: bytes | None
    """With gzip; None when that saves nothing."""
    digest: str

    @classmethod
    def of(cls, name: str, content: bytes) -> "PageFile":
        compressed = gzip.compress(content, 9, mtime=0)
        saves = len(compressed) + _MIN_SAVED_BYTES <= len(content)
        digest = hashlib.sha256(content).hexdigest()
        return cls(MEDIA_TYPES[_suffix(name)], content, compressed if saves else None, digest)


class PageFiles:
    """The files below a folder, by their path in it, such as `js/app.js`."""

    def __init__(self, folder: Traversable) -> None:
        """Reads them all. Raises `FileNotFoundError` without an index.html."""
        contents = dict(_contents_of(folder))
        if INDEX not in contents:
            raise FileNotFoundError(f"{folder} has no {INDEX}: the page's files are not installed.")
        self._index = contents.pop(INDEX).decode()
        self.files: Mapping[str, PageFile] = {name: PageFile.of(name, each) for name, each in contents.items()}
        self.version = _digest_of(self._index, self.files)
        self.index = lru_cache(maxsize=4)(self._render_index)
        """index.html for a root path. The root path is a setting, so there is one in practice."""

    def _render_index(self, root_path: str) -> PageFile:
        """With a base for relative links, and absolute URLs of the files."""
        root = html.escape(root_path)
        folder = f"{root}{FOLDER}{self.version}/"
        head = [
            f'<base href="{root}/">',
            *(f'<link rel="modulepreload" href="{folder}{each}">' for each in self.modules()),
        ]

        def versioned(match: re.Match[str]) -> str:
            name = match["name"]
            return f'{match["attribute"]}{folder}{name}"' if name in self.files else match[0]

        text = _REFERENCE.sub(versioned, self._index)
        return PageFile.of(INDEX, _HEAD.sub("<head>\n" + "\n".join(head) + "\n", text, count=1).encode())

    def modules(self) -> list[str]:
        """The modules that the index starts, and all that they import."""
        found: dict[str, None] = {}
        waiting = [match["name"] for match in _MODULE.finditer(self._index)]
        while waiting:
            name = waiting.pop(0)
            if name in self.files and name not in found:
                found[name] = None
                imports = _IMPORT.finditer(self.files[name].content.decode())
                waiting += [
                    posixpath.normpath(posixpath.join(posixpath.dirname(name), each["path"])) for each in imports
                ]
        return list(found)


def _contents_of(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, bytes]]:
    for entry in sorted(folder.iterdir(), key=lambda each: each.name):
        if entry.is_dir():
            yield from _contents_of(entry, f"{prefix}{entry.name}/")
        elif _suffix(entry.name) in MEDIA_TYPES:
            yield prefix + entry.name, entry.read_bytes()


def _suffix(name: str) -> str:
    return "." + name.rpartition(".")[2]


def _digest_of(index: str, files: Mapping[str, PageFile]) -> str:
    parts = [index, *(f"{name}\0{each.digest}" for name, each in files.items())]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:_VERSION_DIGITS]
