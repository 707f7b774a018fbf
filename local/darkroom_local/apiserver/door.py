"""Who may come in: whoever knows the token. The outermost layer of the server, put on by `routes.py`.

A token is taken from the Authorization header, as on every cluster, or from the beginning of the path. The second is
for kubectl and Helm: they send no credentials without TLS (client-go), so the kubeconfig names
`http://127.0.0.1:PORT/TOKEN` as the server. A header that is wrong is refused whatever the path says.
"""

import hmac

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from darkroom_local.apiserver.errors import unauthorized

OPEN_PATHS = frozenset({"/healthz", "/livez", "/readyz"})


class Door:
    """Refuses with 401, and takes the token off the path of what it lets through."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        first, _, rest = scope["path"].removeprefix("/").partition("/")
        knows_path = self._is_token(first.encode())
        path = f"/{rest}" if knows_path else scope["path"]
        if path in OPEN_PATHS or self._admits(dict(scope["headers"]).get(b"authorization"), knows_path):
            await self._app({**scope, "path": path, "raw_path": path.encode()}, receive, send)
        else:
            await JSONResponse(unauthorized().document(), status_code=401)(scope, receive, send)

    def _admits(self, header: bytes | None, knows_path: bool) -> bool:
        return knows_path if header is None else self._is_token(header.removeprefix(b"Bearer "))

    def _is_token(self, given: bytes) -> bool:
        return bool(self._token) and hmac.compare_digest(given, self._token)
