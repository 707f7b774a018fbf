#!/usr/bin/env bash
# boto3: a presigned link says that it lives longer than the credentials that signed it, although botocore knows when they
# end.
#
# Versions: boto3 1.44.5, Python 3.11.
# Guess:    with credentials that end in 20 minutes, a link for 7 days is shortened, warned of or refused; or at least the
#           credentials are renewed first, since they can be.
# Seen:     X-Amz-Expires is what was asked for. botocore renews credentials only when 15 minutes are left, whatever the
#           link is to live; the link dies with the token after 20 minutes. There is no public way to ask when that is:
#           the time is in `_expiry_time`.
# Output:   credentials end in 20 min; the link says 10080 min; renewed: False; public expiry: none
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check boto3==1.44.5
cat > "$folder/credentials.py" <<'PYTHON'
import datetime, json, pathlib, sys

calls = pathlib.Path(sys.argv[1])
calls.write_text(calls.read_text() + "x" if calls.exists() else "x")
end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=20)
print(json.dumps({"Version": 1, "AccessKeyId": "a", "SecretAccessKey": "s", "SessionToken": "t", "Expiration": end.isoformat()}))
PYTHON
printf '[default]\ncredential_process = "%s" "%s" "%s"\n' "$folder/venv/bin/python" "$folder/credentials.py" "$folder/calls" > "$folder/config"
cat > "$folder/try.py" <<'PYTHON'
import pathlib, sys
from datetime import datetime, timezone
from urllib.parse import parse_qs, urlsplit

import boto3
from botocore.config import Config

session = boto3.Session()
client = session.client("s3", region_name="us-east-1", config=Config(signature_version="s3v4"))
week = 7 * 24 * 3600
link = client.generate_presigned_url("get_object", Params={"Bucket": "photos", "Key": "k"}, ExpiresIn=week)
query = parse_qs(urlsplit(link).query)
credentials = session.get_credentials()
left = round((credentials._expiry_time - datetime.now(timezone.utc)).total_seconds() / 60)
said = int(query["X-Amz-Expires"][0]) // 60
renewed = len(pathlib.Path(sys.argv[1]).read_text()) > 1
public = [name for name in dir(credentials) if "expir" in name and not name.startswith("_")]
print(f"credentials end in {left} min; the link says {said} min; renewed: {renewed}; public expiry: {public or 'none'}")
sys.exit(0 if (left, said, renewed, public) == (20, week // 60, False, []) and "X-Amz-Security-Token" in query else 1)
PYTHON
env -u AWS_ACCESS_KEY_ID -u AWS_SECRET_ACCESS_KEY -u AWS_SESSION_TOKEN -u AWS_PROFILE \
  AWS_CONFIG_FILE="$folder/config" AWS_SHARED_CREDENTIALS_FILE=/dev/null AWS_EC2_METADATA_DISABLED=true \
  "$folder/venv/bin/python" "$folder/try.py" "$folder/calls"
