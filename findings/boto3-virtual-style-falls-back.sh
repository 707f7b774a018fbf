#!/usr/bin/env bash
# boto3: addressing_style "virtual" is silently path style for some buckets and endpoints, and "auto" is path style for
# every endpoint of one's own.
#
# Versions: boto3 1.44.5, Python 3.11.
# Guess:    "virtual" puts the bucket into the host or fails; "auto" does so wherever the bucket's name allows it.
# Seen:     a bucket that no certificate fits (a dot, over https), a bucket that is no host name and an endpoint that is an
#           IP address go back to path style without a word, and such a signed link then fails at a server that takes
#           virtual-hosted addresses only. "auto" is virtual for AWS alone.
# Output:   virtual  https://s3.example.com   photos    https://photos.s3.example.com/k
#           virtual  https://s3.example.com   my.photos https://s3.example.com/my.photos/k
#           virtual  http://s3.example.com    my.photos http://my.photos.s3.example.com/k
#           virtual  https://s3.example.com   my_photos https://s3.example.com/my_photos/k
#           virtual  https://192.0.2.1:9000   photos    https://192.0.2.1:9000/photos/k
#           auto     https://s3.example.com   photos    https://s3.example.com/photos/k
#           auto     AWS                      photos    https://photos.s3.amazonaws.com/k
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check boto3==1.44.5
cat > "$folder/try.py" <<'PYTHON'
import sys

import boto3
from botocore.config import Config

CASES = [
    ("virtual", "https://s3.example.com", "photos", "https://photos.s3.example.com/k"),
    ("virtual", "https://s3.example.com", "my.photos", "https://s3.example.com/my.photos/k"),
    ("virtual", "http://s3.example.com", "my.photos", "http://my.photos.s3.example.com/k"),
    ("virtual", "https://s3.example.com", "my_photos", "https://s3.example.com/my_photos/k"),
    ("virtual", "https://192.0.2.1:9000", "photos", "https://192.0.2.1:9000/photos/k"),
    ("auto", "https://s3.example.com", "photos", "https://s3.example.com/photos/k"),
    ("auto", None, "photos", "https://photos.s3.amazonaws.com/k"),
]
as_expected = True
for style, endpoint, bucket, expected in CASES:
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="access",
        aws_secret_access_key="secret",
        config=Config(signature_version="s3v4", s3={"addressing_style": style}),
    )
    seen = client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k"}).split("?")[0]
    print(f"{style:8} {endpoint or 'AWS':24} {bucket:9} {seen}")
    as_expected &= seen == expected
sys.exit(0 if as_expected else 1)
PYTHON
"$folder/venv/bin/python" "$folder/try.py"
