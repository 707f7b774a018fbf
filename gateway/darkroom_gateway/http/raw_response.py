"""The bytes of a response that is sent outside of the application. Used by http/protocol.py."""

from http import HTTPStatus

from darkroom_gateway.errors import GatewayError
from darkroom_gateway.http.problems import problem_response
from darkroom_gateway.http.request_log import HEADER as REQUEST_ID


def raw_response(error: GatewayError, request_id: str) -> bytes:
    """A problem document as raw HTTP/1.1 response."""
    response = problem_response(error)
    response.headers[REQUEST_ID] = request_id
    response.headers["Connection"] = "close"
    fields = b"".join(b"%b: %b\r\n" % field for field in response.raw_headers)
    status = b"HTTP/1.1 %d %b\r\n" % (error.status, HTTPStatus(error.status).phrase.encode("ascii"))
    return status + fields + b"\r\n" + bytes(response.body)
