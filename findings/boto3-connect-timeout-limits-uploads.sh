#!/usr/bin/env bash
# boto3 1.44.5, botocore 1.44.5, urllib3 2.8.0 (Python 3.11)
#
# Expected: with connect_timeout=1 and read_timeout=30 an upload to a server that is connected, and takes no data for four
# seconds, waits (30 s are allowed between two bytes), and succeeds. A connect timeout is over once the connection stands.
#
# Behaviour: it fails after one second, as ConnectionClosedError, "Connection was closed before we received a valid
# response", although nobody closed it: also on a connection from the pool, which was made long before. urllib3 gives the
# socket the connect timeout for sending, and the read timeout only before it waits for the response. So a short connect
# timeout, which is what one sets to notice dead hosts soon, makes uploads fail on servers that are busy for a moment.
#
# Seen:
#   connect_timeout=1, new connection:    ConnectionClosedError
#   connect_timeout=1, pooled connection: ConnectionClosedError
#   connect_timeout=30, read_timeout=30:  200
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check boto3==1.44.5 botocore==1.44.5 urllib3==2.8.0
cat > "$folder/check.py" <<'PYTHON'
import io
import re
import socket
import threading
import time

import boto3
from botocore.config import Config
from botocore.exceptions import ConnectionClosedError

PAUSE_SECONDS = 4


def serve(connection):
    """Takes the body of a large PUT only after a pause."""
    received = b""
    with connection:
        while True:
            while b"\r\n\r\n" not in received:
                chunk = connection.recv(65536)
                if not chunk:
                    return
                received += chunk
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            head, _, received = received.partition(b"\r\n\r\n")
            missing = int(re.findall(rb"(?i)content-length: (\d+)", head)[0])
            if missing > 1000:
                time.sleep(PAUSE_SECONDS)
            while missing > len(received):
                chunk = connection.recv(1024**2)
                if not chunk:
                    return
                received += chunk
            received = received[missing:]
            connection.sendall(b'HTTP/1.1 200 OK\r\nETag: "1"\r\nContent-Length: 0\r\n\r\n')


def accept(listener):
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve, args=(connection,), daemon=True).start()


def client(port, connect_seconds):
    config = Config(
        signature_version="s3v4",
        connect_timeout=connect_seconds,
        read_timeout=30,
        retries={"mode": "standard", "total_max_attempts": 1},
        request_checksum_calculation="when_required",
    )
    return boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name="us-east-1",
        aws_access_key_id="any",
        aws_secret_access_key="any",
        config=config,
    )


def put(s3, size):
    try:
        answer = s3.put_object(Bucket="b", Key="k", Body=io.BytesIO(bytes(size)))
    except ConnectionClosedError as error:
        return type(error).__name__
    return answer["ResponseMetadata"]["HTTPStatusCode"]


listener = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=accept, args=(listener,), daemon=True).start()
port = listener.getsockname()[1]

large, small = 30_000_000, 10
new = put(client(port, 1), large)
pool = client(port, 1)
assert put(pool, small) == 200
pooled = put(pool, large)
patient = put(client(port, 30), large)
print(f"connect_timeout=1, new connection:    {new}")
print(f"connect_timeout=1, pooled connection: {pooled}")
print(f"connect_timeout=30, read_timeout=30:  {patient}")
assert (new, pooled, patient) == ("ConnectionClosedError", "ConnectionClosedError", 200)
PYTHON
"$folder/venv/bin/python" "$folder/check.py"
