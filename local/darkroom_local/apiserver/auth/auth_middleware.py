"""Authentication middleware: the outermost layer of the server.

A token comes in the Authorization header, as on every cluster, or as the first segment of the path. The second is for
kubectl and Helm: client-go sends no credentials without TLS, so the kubeconfig's server is
`http://127.0.0.1:PORT/TOKEN`. A wrong header is rejected, whatever the path contains.
"""

from collections.abc import Callable

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from darkroom_local.apiserver.apimachinery.errors import unauthorized
from darkroom_local.apiserver.auth.authenticator import User

OPEN_PATHS = frozenset({"/healthz", "/livez", "/readyz"})

Authenticate = Callable[[bytes], User | None]


class AuthMiddleware:
    """Responds with 401 to unauthenticated requests; sets `request.user`, and removes a token from the path."""

    def __init__(self, app: ASGIApp, authenticate: Authenticate) -> None:
        self._app = app
        self._authenticate = authenticate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        first, _, rest = scope["path"].removeprefix("/").partition("/")
        path_user = self._authenticate(first.encode())
        path = f"/{rest}" if path_user else scope["path"]
        header = dict(scope["headers"]).get(b"authorization")
        user = path_user if header is None else self._authenticate(header.removeprefix(b"Bearer "))
        if user or path in OPEN_PATHS:
            await self._app({**scope, "path": path, "raw_path": path.encode(), "user": user}, receive, send)
        else:
            await JSONResponse(unauthorized().document(), status_code=401)(scope, receive, send)
