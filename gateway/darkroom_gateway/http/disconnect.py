"""Lets the application disconnect a client that reads its response too slowly.

http/protocol.py offers it as an extension of the ASGI scope; openai_images/held_answers.py uses it. An application that
returns before its response is complete would not do: uvicorn logs an error, and sends what it has before it closes.
"""

from collections.abc import Callable

from starlette.types import Scope

EXTENSION = "darkroom.disconnect"

Abort = Callable[[], None]


def offer_disconnect(scope: Scope, abort: Abort) -> None:
    scope["extensions"] = {EXTENSION: {"abort": abort}}


def disconnect(scope: Scope) -> None:
    """Close the connection of a request at once, without what its client has not read yet.

    Another server, as in tests, closes it when the application returns.
    """
    extension = scope.get("extensions", {}).get(EXTENSION)
    if extension is not None:
        extension["abort"]()
