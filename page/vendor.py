"""Copy the libraries of the page from npm into gateway/darkroom_gateway/page/static/vendor: `make vendor`.

To take another release: change its version in page/package.json, run `npm install --package-lock-only` in page/, then
`make vendor` and the tests of the page. The manifest, vendor/manifest.json, says where each file comes from: package,
version, npm's integrity hash of the package, and the SHA-256 of the file as it is served.
tests/unit/gateway/page/test_vendor.py compares it with the files.

Files are copied as they are published, except that imports of other packages become relative: browsers have no
node_modules. Source maps are left out.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from packages import HERE, LOCK, MODULES, REPOSITORY, install

VENDOR = REPOSITORY / "gateway" / "darkroom_gateway" / "page" / "static" / "vendor"
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Library:
    package: str
    files: dict[str, str]
    """Name in vendor/ of each file of the package."""
    licence: str = "LICENSE"

    @property
    def licence_name(self) -> str:
        return f"{self.package.rpartition('/')[2]}.LICENSE"


LIBRARIES = (
    Library("@preact/signals-core", {"dist/signals-core.mjs": "signals-core.js"}),
    Library("htm", {"dist/htm.mjs": "htm.js"}),
    Library("preact", {"dist/preact.mjs": "preact.js", "hooks/dist/hooks.mjs": "preact-hooks.js"}),
    Library("uplot", {"dist/uPlot.esm.js": "uPlot.js", "dist/uPlot.min.css": "uPlot.css"}),
)

RELATIVE = {"preact": "./preact.js", "preact/hooks": "./preact-hooks.js"}
"""By what the libraries import."""

_IMPORT = re.compile(rb"""(\bfrom\s*)(["'])([@\w/-]+)\2""")
_SOURCE_MAP = re.compile(rb"\n?//# sourceMappingURL=\S+\s*$")


def served(content: bytes) -> bytes:
    """The file as browsers get it. Raises `KeyError` for an import of a package that is not vendored."""

    def relative(match: re.Match[bytes]) -> bytes:
        return match[1] + match[2] + RELATIVE[match[3].decode()].encode() + match[2]

    return _SOURCE_MAP.sub(b"\n", _IMPORT.sub(relative, content))


def entries() -> Iterator[dict[str, Any]]:
    """Of the manifest; writes the files on the way."""
    locked = json.loads((HERE / LOCK).read_text(encoding="utf-8"))["packages"]
    for library in LIBRARIES:
        package, folder = locked[f"node_modules/{library.package}"], MODULES / library.package
        (VENDOR / library.licence_name).write_bytes((folder / library.licence).read_bytes())
        files = {}
        for source, name in library.files.items():
            content = (folder / source).read_bytes()
            content = served(content) if name.endswith(".js") else content
            (VENDOR / name).write_bytes(content)
            files[name] = {"source": source, "sha256": hashlib.sha256(content).hexdigest()}
        yield {
            "package": library.package,
            "version": package["version"],
            "integrity": package["integrity"],
            "licence": package["license"],
            "licence_file": library.licence_name,
            "files": files,
        }


def main() -> None:
    install()
    VENDOR.mkdir(exist_ok=True)
    written = list(entries())
    text = json.dumps({"libraries": written}, indent=2) + "\n"
    (VENDOR / MANIFEST).write_text(text, encoding="utf-8")
    known = {
        MANIFEST,
        *(each["licence_file"] for each in written),
        *(name for each in written for name in each["files"]),
    }
    for path in VENDOR.iterdir():
        if path.name not in known and not path.name.endswith(".d.ts"):
            path.unlink()
    for each in written:
        print(f"{each['package']} {each['version']}: {', '.join(each['files'])}")


if __name__ == "__main__":
    main()
