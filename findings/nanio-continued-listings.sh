#!/usr/bin/env bash
# nanio: a listing that is continued loses keys, and one with a delimiter repeats its common prefixes on every page.
#
# Versions: nanio 0.1.7, boto3 1.44.5, uvicorn 0.54.0, Python 3.11, Linux.
# Guess:    ListObjectsV2 in pages gives every key and every common prefix once, in the order of their UTF-8 bytes.
# Seen:     nanio walks folders: `a/b` comes before `a-b` and `a.b`, although `-` and `.` sort before `/`. A page continues
#           behind its last key in the order of bytes, so what the walk shows later and bytes sort earlier never comes.
#           With a delimiter each page has all common prefixes again.
# Output:   in one page:   ['a-b', 'a.b', 'a/b', 'a0']
#           one at a time: ['a/b', 'a0'], without ['a-b', 'a.b']
#           common prefixes: ['x/', 'y/', 'x/', 'y/', 'x/', 'y/']
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check nanio==0.1.7 boto3==1.44.5 uvicorn==0.54.0
cat > "$folder/try.py" <<'PYTHON'
import asyncio, os, sys, threading, time
from pathlib import Path

os.environ.update(NANIO_ACCESS_KEY="access", NANIO_SECRET_KEY="secret-key", AWS_EC2_METADATA_DISABLED="true")
import boto3, uvicorn
from botocore.config import Config
from nanio.app import build_app
from nanio.config import Settings

app = build_app(Settings(data_dir=Path(sys.argv[1]).resolve(), host="127.0.0.1", port=9000))
server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", lifespan="off"))
thread = threading.Thread(target=server.run)
thread.start()
while not server.started:
    time.sleep(0.01)
port = server.servers[0].sockets[0].getsockname()[1]
s3 = boto3.client(
    "s3",
    endpoint_url=f"http://127.0.0.1:{port}",
    region_name="us-east-1",
    aws_access_key_id="access",
    aws_secret_access_key="secret-key",
    config=Config(signature_version="s3v4", s3={"addressing_style": "path"}, request_checksum_calculation="when_required"),
)


def listed(bucket, size, **arguments):
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, PaginationConfig={"PageSize": size}, **arguments)
    keys, prefixes = [], []
    for page in pages:
        keys += [each["Key"] for each in page.get("Contents", [])]
        prefixes += [each["Prefix"] for each in page.get("CommonPrefixes", [])]
    return keys, prefixes


try:
    for bucket, keys in (("keys", ["a-b", "a.b", "a/b", "a0"]), ("folders", ["x/1", "y/1", "z1", "z2"])):
        s3.create_bucket(Bucket=bucket)
        for key in keys:
            s3.put_object(Bucket=bucket, Key=key, Body=b"")
    whole, paged = listed("keys", 1000)[0], listed("keys", 1)[0]
    lost = sorted(set(whole) - set(paged))
    repeated = listed("folders", 1, Delimiter="/")[1]
    print(f"in one page:   {sorted(whole)}\none at a time: {paged}, without {lost}\ncommon prefixes: {repeated}")
finally:
    s3.close()
    server.should_exit = True
    thread.join()
sys.exit(0 if lost == ["a-b", "a.b"] and repeated.count("x/") > 1 else 1)
PYTHON
"$folder/venv/bin/python" "$folder/try.py" "$folder/data"
