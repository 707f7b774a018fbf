"""Response schemas of the probes."""

from pydantic import BaseModel, Field


class Health(BaseModel):
    """The process is alive."""

    status: str = Field("ok", description="ok")


class Readiness(BaseModel):
    """The gateway accepts requests."""

    status: str = Field("ready", description="ready, or degraded: a backend named in `tolerate` is down")
    checks: dict[str, str] = Field(
        description="The checks by backend: ok, or what is wrong.", examples=[{"cluster": "ok", "storage": "ok"}]
    )
