"""Who may come in: whoever has a token. The outermost layer of the server, put on by `routes.py`.

It says whose the token is (`identities.py`); what he may do is asked further in. A token is taken from the
Authorization header, as on every cluster, or from the beginning of the path. The second is for kubectl and Helm: they
send no credentials without TLS (client-go), so the kubeconfig names `http://127.0.0.1:PORT/TOKEN` as the server. A
header that is wrong is refused whatever the path says.
"""

from collections.abc import Callable

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from darkroom_local.apiserver.apimachinery.errors import unauthorized
from darkroom_local.apiserver.auth.authenticator import User

OPEN_PATHS = frozenset({"/healthz", "/livez", "/readyz"})


Authenticate = Callable[[bytes], User | None]


class AuthMiddleware:
    """Refuses with 401, notes the user of what it lets through (`request.user`), and takes the token off its path."""

    def __init__(self, app: ASGIApp, authenticate: Authenticate) -> None:
        self._app = app
        self._authenticate = authenticate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        first, _, rest = scope["path"].removeprefix("/").partition("/")
        of_path = self._authenticate(first.encode())
        path = f"/{rest}" if of_path else scope["path"]
        header = dict(scope["headers"]).get(b"authorization")
        user = of_path if header is None else self._authenticate(header.removeprefix(b"Bearer "))
        if user or path in OPEN_PATHS:
            await self._app({**scope, "path": path, "raw_path": path.encode(), "user": user}, receive, send)
        else:
            await JSONResponse(unauthorized().document(), status_code=401)(scope, receive, send)
