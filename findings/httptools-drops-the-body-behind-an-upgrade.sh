#!/usr/bin/env bash
# uvicorn 0.54.0 with httptools 0.9.0 (h11 0.16.0 beside it).
#
# The expected guess: a server that knows no other protocol ignores `Upgrade: h2c` (RFC 9110, 7.8) and reads the request
# as it is, its body included. curl --http2 and Java's HttpClient send that header with a POST over plain HTTP.
#
# The behaviour: httptools makes its parser skip the body of every request that has an Upgrade header, whether or not the
# server upgrades. The application gets an empty body, and no error. By h11 it gets the body.
#
# The output seen:
#   h11: b'hello'
#   httptools: b''
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet uvicorn==0.54.0 httptools==0.9.0 h11==0.16.0
cat >"$folder/case.py" <<'PYTHON'
import http.client
import threading
import time

import uvicorn


async def echo(scope, receive, send):
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    length = str(len(body)).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
    await send({"type": "http.response.body", "body": body})


def answer_by(parser):
    config = uvicorn.Config(echo, port=0, http=parser, ws="none", lifespan="off", log_level="error")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    connection = http.client.HTTPConnection("127.0.0.1", server.servers[0].sockets[0].getsockname()[1], timeout=30)
    connection.request("POST", "/", b"hello", {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c"})
    found = connection.getresponse().read()
    connection.close()
    server.should_exit = True
    thread.join()
    return found


answers = {parser: answer_by(parser) for parser in ("h11", "httptools")}
for parser, found in answers.items():
    print(f"{parser}: {found}")
assert answers == {"h11": b"hello", "httptools": b""}
PYTHON
"$folder/venv/bin/python" "$folder/case.py"
