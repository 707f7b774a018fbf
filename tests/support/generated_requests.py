"""Hooks of Schemathesis, loaded by its own process: files in generated requests are real photos.

`DARKROOM_TEST_PHOTOS` names a folder of them. Everything else is generated from the OpenAPI description alone.
"""

import os
from pathlib import Path

import schemathesis
from hypothesis import strategies

PHOTOS = [path.read_bytes() for path in sorted(Path(os.environ["DARKROOM_TEST_PHOTOS"]).iterdir())]

schemathesis.openapi.format("binary", strategies.sampled_from(PHOTOS))
