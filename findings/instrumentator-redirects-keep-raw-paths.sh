#!/usr/bin/env bash
# prometheus-fastapi-instrumentator: a redirect that takes a slash away is counted under the path as it came, names and all,
# although paths without a template are to be grouped.
#
# Versions: prometheus-fastapi-instrumentator 8.1.0, fastapi 0.165.0, starlette 1.10.0, httpx 0.28.1, Python 3.11.
# Guess:    with should_group_untemplated (the default) every label `handler` is a template of a route or `none`.
# Seen:     `GET /items/{id}` with a slash at its end is redirected by Starlette, and gets a label of its own for each id: as
#           many time series as there are names in requests.
# Output:   handlers: /items/3/, /items/4/, /items/{item}, none
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check prometheus-fastapi-instrumentator==8.1.0 fastapi==0.165.0 \
  starlette==1.10.0 httpx==0.28.1
cat > "$folder/try.py" <<'PYTHON'
import asyncio, sys

import httpx
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from prometheus_fastapi_instrumentator import Instrumentator, metrics

registry, app = CollectorRegistry(), FastAPI()
app.get("/items/{item}")(lambda item: item)
Instrumentator(registry=registry).add(metrics.default(registry=registry)).instrument(app)


async def main():
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        for path in ("/items/1", "/items/2", "/nothing/1", "/items/3/", "/items/4/"):
            await client.get(path)


asyncio.run(main())
samples = [each for family in registry.collect() for each in family.samples if each.name == "http_requests_total"]
handlers = sorted(each.labels["handler"] for each in samples)
print("handlers:", ", ".join(handlers))
sys.exit(0 if handlers == ["/items/3/", "/items/4/", "/items/{item}", "none"] else 1)
PYTHON
"$folder/venv/bin/python" "$folder/try.py"
