"""S3 error responses that nanio does not produce."""

from xml.sax.saxutils import escape

from starlette.responses import Response


def error_response(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> Response:
    inside = f"<Code>{code}</Code><Message>{escape(message)}</Message>"
    body = f'<?xml version="1.0" encoding="UTF-8"?><Error>{inside}</Error>'
    return Response(body, status_code=status, media_type="application/xml", headers=headers)
