"""Quotas of API keys, read from a YAML or JSON file. Pure, except for `read_quotas`; used by settings.py.

    default: {unfinished: 20, perDay: 200}
    keys:
      alice: {unfinished: 50, perDay: null}

A key's own values replace those of `default`, one by one; null lifts a quota.
"""

from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from darkroom_contract.names import KEY_NAME_PATTERN

Count = Annotated[int, Field(strict=True, ge=0, le=1_000_000)]
KeyName = Annotated[str, Field(pattern=KEY_NAME_PATTERN)]


class _Part(BaseModel):
    """Rejects unknown fields: a misspelt quota would limit nothing."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)


class Quota(_Part):
    """The quota of one API key. None: unlimited."""

    unfinished: Count | None = None
    """Jobs that wait, start or run."""
    waiting: Count | None = None
    """Jobs that wait: queued or suspended."""
    per_day: Count | None = None
    """Jobs submitted within 24 hours."""

    def over(self, default: "Quota") -> "Quota":
        """This quota, with the values of `default` where it has none of its own."""
        return Quota(**{**default.model_dump(), **self.model_dump(exclude_unset=True)})


class Quotas(_Part):
    """The quotas of all keys."""

    default: Quota = Quota()
    keys: dict[KeyName, Quota] = Field(default_factory=dict)

    def of(self, key_name: str) -> Quota:
        own = self.keys.get(key_name)
        return self.default if own is None else own.over(self.default)

    def __bool__(self) -> bool:
        """Whether there are any."""
        return self != Quotas()


def read_quotas(path: str) -> Quotas:
    """Raises `ValueError` with what is wrong and where."""
    try:
        document = yaml.safe_load(Path(path).read_text())
    except OSError as error:
        raise ValueError(f"the file can't be read: {error.strerror}.") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"the file is not YAML: {' '.join(str(error).split())}") from error
    try:
        return Quotas.model_validate({} if document is None else document)
    except ValidationError as error:
        raise ValueError(" ".join(f"{_place(each['loc'])}: {each['msg']}." for each in error.errors())) from error


def _place(location: tuple[int | str, ...]) -> str:
    return ".".join(str(each) for each in location) or "the file"
