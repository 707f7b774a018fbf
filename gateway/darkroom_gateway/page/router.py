"""`/`: the page for people. `/page/...`: its files. Both need no API key, because they contain no secret: the page asks
for the key, and sends it with its requests to `/v1`.
"""

from collections.abc import Mapping
from functools import lru_cache
from importlib import resources

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from darkroom_gateway.errors import UnknownFileError
from darkroom_gateway.http.page_headers import page_headers
from darkroom_gateway.page.files import FOLDER, PageFile, PageFiles
from darkroom_gateway.services import ServicesOfApp
from darkroom_gateway.storage.client import ObjectStorage

router = APIRouter()

INDEX_PATH = "/"

READS = ["GET", "HEAD"]

FILES = PageFiles(resources.files("darkroom_gateway.page") / "static")

IMMUTABLE = "public, max-age=31536000, immutable"
"""For URLs with the hash of the files."""
REVALIDATED = "public, max-age=0, must-revalidate"
"""For the index, and for files of another version: during an update, another replica may have sent the index."""

_JSON, _ANYTHING_ELSE = "application/json", ("text/html", "text/*", "*/*")


@router.api_route(INDEX_PATH, methods=READS, include_in_schema=False)
async def page(request: Request, services: ServicesOfApp) -> Response:
    root = services.root_path
    accepted = request.headers.get("accept", "*/*").lower()
    if _JSON in accepted and not any(each in accepted for each in _ANYTHING_ELSE):
        return RedirectResponse(f"{root}/openapi.json", headers={"Vary": "Accept"})
    response = _response(request, FILES.index(root), REVALIDATED, "Accept, Accept-Encoding")
    response.headers.update(_security_headers(services.clients.storage))
    return response


@router.api_route(FOLDER + "{path:path}", methods=READS, include_in_schema=False)
async def page_file(request: Request, path: str) -> Response:
    """The path begins with the hash of the files. Without it, or with another one, the file is not kept."""
    digest, _, name = path.partition("/")
    found = FILES.files.get(name) or FILES.files.get(path)
    if found is None:
        raise UnknownFileError(f"The page has no file {name!r}. Reload the page: the gateway may have been updated.")
    return _response(request, found, IMMUTABLE if digest == FILES.version else REVALIDATED, "Accept-Encoding")


@lru_cache(maxsize=4)
def _security_headers(storage: ObjectStorage) -> Mapping[str, str]:
    """The policy names the origin of the storage's links, for which a client is made."""
    return page_headers(storage.link_origin())


def _response(request: Request, file: PageFile, caching: str, vary: str) -> Response:
    """The file, compressed if the client accepts that; 304 if the client has it."""
    compressed = file.compressed if _accepts_gzip(request.headers.get("accept-encoding", "")) else None
    etag = f'"{file.digest}"' if compressed is None else f'"{file.digest}-gzip"'
    headers = {"Cache-Control": caching, "ETag": etag, "Vary": vary}
    if _has(request.headers.get("if-none-match", ""), etag):
        return Response(status_code=304, headers=headers)
    if compressed is not None:
        headers["Content-Encoding"] = "gzip"
    content = file.content if compressed is None else compressed
    return Response(content, media_type=file.media_type, headers=headers)


def _accepts_gzip(header: str) -> bool:
    for each in header.lower().split(","):
        coding, _, weight = each.replace(" ", "").partition(";q=")
        if coding == "gzip":
            return weight.strip("0.") != "" or weight == ""
    return False


def _has(if_none_match: str, etag: str) -> bool:
    """Proxies that recompress a response make its tag weak."""
    return etag in (each.strip().removeprefix("W/") for each in if_none_match.split(","))
