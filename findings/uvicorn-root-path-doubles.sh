#!/usr/bin/env bash
# uvicorn, FastAPI: --root-path works behind proxies that strip the path and is 404 behind those that do not; FastAPI's
# own root_path takes both and redirects outside behind those that strip.
#
# Versions: uvicorn 0.54.0, fastapi 0.165.0, starlette 1.10.0, httpx 0.28.1, Python 3.11.
# Guess:    a root path tells where the application is published; requests with and without it reach the same route, and
#           what the application says of itself (redirects, servers of the OpenAPI description) carries it.
# Seen:     uvicorn puts its root path in front of *every* path: `/app/items` becomes `/app/app/items`, which no route has.
#           FastAPI(root_path=) (deprecated in favour of the server's) leaves the path alone, so both reach the route; but a
#           redirect for a slash is made from the path as it came, and leads outside of the proxy's path.
# Output:   uvicorn --root-path /app    GET /items: 200    GET /app/items: 404    GET /items/ leads to /app/items
#           FastAPI(root_path="/app")   GET /items: 200    GET /app/items: 200    GET /items/ leads to /items
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check uvicorn==0.54.0 fastapi==0.165.0 starlette==1.10.0 httpx==0.28.1
cat > "$folder/try.py" <<'PYTHON'
import sys, threading, time, warnings

import httpx, uvicorn
from fastapi import FastAPI

warnings.simplefilter("ignore")


def seen(of_app, of_server):
    app = FastAPI(root_path=of_app)
    app.get("/items")(lambda: [])
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", root_path=of_server))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        stripped, whole = client.get("/items").status_code, client.get("/app/items").status_code
        leads_to = httpx.URL(client.get("/items/").headers["location"]).path
    server.should_exit = True
    thread.join()
    return stripped, whole, leads_to


by_server, by_app = seen("", "/app"), seen("/app", "")
for name, (stripped, whole, leads_to) in (("uvicorn --root-path /app", by_server), ('FastAPI(root_path="/app")', by_app)):
    print(f"{name:27} GET /items: {stripped}    GET /app/items: {whole}    GET /items/ leads to {leads_to}")
sys.exit(0 if (by_server, by_app) == ((200, 404, "/app/items"), (200, 200, "/items")) else 1)
PYTHON
"$folder/venv/bin/python" "$folder/try.py"
