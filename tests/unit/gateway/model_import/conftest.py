"""A client of `POST /v1/models`."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from support.lora_files import lora_bytes

Import = Callable[..., httpx.Response]


@pytest.fixture
def import_lora(http: httpx.Client) -> Import:
    """Uploads a LoRA in a form."""

    def send(
        model_id: str, content: bytes | None = None, name: str = "style.safetensors", **query: Any
    ) -> httpx.Response:
        files = {"file": (name, lora_bytes() if content is None else content)}
        return http.post("/v1/models", params={"model_id": model_id, **query}, files=files)

    return send
