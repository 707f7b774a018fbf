"""`/docs`: Swagger UI, served entirely by the gateway, so that it works without internet access.

The package fastapi-swagger provides the files of swagger-ui-dist. The page has no inline script, so its
Content-Security-Policy allows only this host. Links begin with the root path. `PATHS` need no API key, because browsers
send none for pages and scripts.
"""

import html
import json
from collections.abc import Awaitable, Callable
from importlib import resources
from importlib.metadata import version

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse

from darkroom_gateway.http.page_headers import headers_with_policy

router = APIRouter()

DOCS_PATH = "/docs"
SCRIPT_PATH = f"{DOCS_PATH}/start.js"

FILES = {
    f"{DOCS_PATH}/swagger-ui-bundle.js": ("swagger-ui-bundle.js", "text/javascript"),
    f"{DOCS_PATH}/swagger-ui.css": ("swagger-ui.css", "text/css"),
    f"{DOCS_PATH}/favicon-32x32.png": ("favicon-32x32.png", "image/png"),
}
"""Files of swagger-ui-dist by path: name and media type."""

READS = ["GET", "HEAD"]

PATHS = frozenset({DOCS_PATH, SCRIPT_PATH, *FILES})

ASSETS_VERSION = version("fastapi-swagger")
CACHED = {"Cache-Control": "public, max-age=86400"}
"""For files whose URLs contain the version."""

PAGE_HEADERS = headers_with_policy(
    {
        "default-src": ("'none'",),
        "script-src": ("'self'",),
        # Swagger UI uses style attributes and data URLs.
        "style-src": ("'self'", "'unsafe-inline'"),
        "img-src": ("'self'", "data:"),
        "connect-src": ("'self'",),
    }
)

PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="stylesheet" href="{root}/docs/swagger-ui.css?{version}">
<link rel="icon" type="image/png" href="{root}/docs/favicon-32x32.png?{version}">
</head>
<body>
<div id="swagger-ui"></div>
<noscript>This page needs JavaScript. The API is described by <a href="{root}/openapi.json">openapi.json</a>.</noscript>
<script src="{root}/docs/swagger-ui-bundle.js?{version}"></script>
<script src="{root}/docs/start.js?{version}" data-openapi-url="{root}/openapi.json"></script>
</body>
</html>
"""

SETTINGS = {
    "dom_id": "#swagger-ui",
    "deepLinking": True,
    "showExtensions": True,
    "showCommonExtensions": True,
    # No validator badge from another host.
    "validatorUrl": None,
}

SCRIPT = f"""\
SwaggerUIBundle({{
  ...{json.dumps(SETTINGS)},
  url: document.currentScript.dataset.openapiUrl,
  presets: [SwaggerUIBundle.presets.apis],
}});
"""


@router.api_route(DOCS_PATH, methods=READS, include_in_schema=False)
async def page(request: Request) -> HTMLResponse:
    root = html.escape(request.scope.get("root_path", ""))
    content = PAGE.format(title=html.escape(request.app.title), root=root, version=ASSETS_VERSION)
    return HTMLResponse(content, headers=PAGE_HEADERS)


@router.api_route(SCRIPT_PATH, methods=READS, include_in_schema=False)
async def start_script() -> Response:
    return Response(SCRIPT, media_type="text/javascript", headers=CACHED)


def _file_endpoint(name: str, media_type: str) -> Callable[[], Awaitable[Response]]:
    content = (resources.files("fastapi_swagger.resources") / name).read_bytes()

    async def file() -> Response:
        return Response(content, media_type=media_type, headers=CACHED)

    return file


for _path, (_name, _media_type) in FILES.items():
    router.add_api_route(_path, _file_endpoint(_name, _media_type), methods=READS, include_in_schema=False)
