#!/usr/bin/env bash
# schemathesis 4.32.5: the coverage phase fills an optional header that has a pattern with `0`, and calls the request valid.
#
# Expected: a value is generated from the pattern, as for a query parameter of the same schema, or the header is left out;
# a server that refuses what breaks the pattern passes.
# Seen: GET with `Last-Event-ID: 0` for the pattern ^[0-9]{1,20}-[0-9]{1,20}$, and "Schema-valid request rejected" about the
# server that answers 422. With the parameter in the query it sends 0-0, and all is well.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check schemathesis==4.32.5
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import http.server, json, re, subprocess, sys, threading, urllib.parse

PATTERN = "^[0-9]{1,20}-[0-9]{1,20}$"


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers 422 to what breaks the description, as it should."""

    def do_GET(self):
        parts = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(parts.query, keep_blank_values=True))
        given = query.get("Last-Event-ID", self.headers.get("Last-Event-ID"))
        good = given is None or re.search(PATTERN, given)
        self.send_response(200 if good and query.get("kind", "A") in ("A", "B") else 422)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        """Quiet."""


def reports_for(place):
    parameters = [
        {"name": "kind", "in": "query", "schema": {"enum": ["A", "B"]}},
        {"name": "Last-Event-ID", "in": place, "schema": {"type": "string", "pattern": PATTERN}},
    ]
    answers = {"200": {"description": "good"}, "422": {"description": "refused"}}
    document = {"openapi": "3.1.0", "info": {"title": "a", "version": "1"}}
    document["paths"] = {"/events": {"get": {"parameters": parameters, "responses": answers}}}
    with open("openapi.json", "w") as file:
        json.dump(document, file)
    command = [sys.executable, "-m", "schemathesis.cli", "run", "openapi.json", "--url", url, "--seed", "1"]
    command += ["--phases", "coverage", "--checks", "positive_data_acceptance"]
    shown = subprocess.run(command, capture_output=True, text=True).stdout
    rejected = "Schema-valid request rejected" in shown
    print(f"in the {place}:", re.findall("curl.*", shown)[:1] if rejected else "no failure")
    return rejected


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}"
if (reports_for("query"), reports_for("header")) != (False, True):
    sys.exit("the behaviour has changed")
PY
