"""Writes docs/configuration.md from the settings of gateway, operator and runner: `make generate`.

A test fails when the committed page differs.
"""

import sys
from enum import Enum
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from darkroom_contract.settings import EnvironmentSettings, bounds_text
from darkroom_gateway.settings import Settings as GatewaySettings
from darkroom_operator.settings import Settings as OperatorSettings
from darkroom_runner.settings import Settings as RunnerSettings

PAGE = Path(__file__).with_name("configuration.md")

PROGRAMS: dict[str, tuple[str, type[EnvironmentSettings]]] = {
    "Gateway": ("The chart sets these from `gateway.*`, `storage.*`, `redis.*` and `models.*`.", GatewaySettings),
    "Operator": ("The chart sets these from `operator.*`, `runner.*`, `datasets.*` and `models.*`.", OperatorSettings),
    "Runner": (
        """The operator and the runner's Secret set these on each pod. The Hugging Face hub's own variables (`HF_TOKEN`,
`HF_HOME`, `HF_ENDPOINT`, `HF_HUB_OFFLINE`) apply too. `DARKROOM_TERMINATION_MESSAGE_PATH` (default
`/dev/termination-log`) is the file that the outcome is written to, for the kubelet.""",
        RunnerSettings,
    ),
}

HEAD = """<!-- Generated from the Settings classes by `make generate`. Do not edit. -->

# Configuration

Every environment variable of gateway, operator and runner. In a cluster the [chart](../charts/darkroom/README.md) sets
them; change its values, not the variables. A program reads its environment once, at start, and exits with a message
that names the variable when a value can't be used. An empty variable counts as unset.

Credentials of the object storage are not listed: boto3 reads them from its own sources (`AWS_ACCESS_KEY_ID` and
`AWS_SECRET_ACCESS_KEY`, a profile, IRSA, an instance role). Traces are configured by OpenTelemetry's own variables,
`OTEL_...`, for all three programs: [tracing](operations/tracing.md)."""


def page() -> str:
    """The whole page, Markdown."""
    return "\n\n".join([HEAD, *(_section(name, *program) for name, program in PROGRAMS.items())]) + "\n"


def _section(name: str, introduction: str, settings: type[EnvironmentSettings]) -> str:
    rows = [_row(variable, field) for variable, field in settings.variables().items()]
    table = "\n".join(["| Variable | Default | Takes | What it does |", "|---|---|---|---|", *rows])
    return f"## {name}\n\n{introduction}\n\n{table}"


def _row(variable: str, field: FieldInfo) -> str:
    description = " ".join((field.description or "").split())
    default = "required" if field.is_required() else _default(field.get_default(call_default_factory=True))
    return f"| `{variable}` | {default} | {bounds_text(field)} | {description} |"


def _default(value: Any) -> str:
    if value is None or isinstance(value, BaseModel) or value in ("", (), {}):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, Enum):
        return f"`{value.value}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def main() -> None:
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else PAGE
    path.write_text(page(), encoding="utf-8")
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
