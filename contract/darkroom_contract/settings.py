"""Settings from environment variables: the base class of every program's `Settings`, on pydantic-settings.

A field is one variable. Its default, its bounds and the docstring under it are also its entry in docs/configuration.md.
A program reads its environment once, in `main`, with `from_environment`. A `Settings(...)` built in code takes nothing
from the environment.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Annotated, Any, ClassVar, Self

from pydantic import BeforeValidator, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict


class EnvironmentSettings(BaseSettings):
    """Frozen settings. An empty variable counts as unset."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        populate_by_name=True,
        case_sensitive=True,
        use_attribute_docstrings=True,
        validate_default=False,
        allow_inf_nan=False,
    )
    error_type: ClassVar[type[Exception]] = ValueError
    """Raised for a value that can't be used, with the variable, the value and what to write instead."""

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise self.error_type(" ".join(_sentences(error, type(self)))) from None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments only: the environment is read by `from_environment`, and no file is."""
        return (init_settings,)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Raises `error_type`."""
        source = EnvSettingsSource(cls)
        source.env_vars = {name: environment[name] for name in cls.variables() if environment.get(name)}
        groups = {name: group.from_environment(environment) for name, group in cls._groups().items()}
        return cls(**source(), **groups)

    @classmethod
    def variables(cls) -> dict[str, FieldInfo]:
        """Every variable that `from_environment` reads, with its field."""
        groups = cls._groups()
        own = {str(field.validation_alias): field for field in cls.model_fields.values() if field.validation_alias}
        for group in groups.values():
            own |= group.variables()
        return own

    @classmethod
    def _groups(cls) -> "dict[str, type[EnvironmentSettings]]":
        """Fields that are settings themselves, with variables of their own."""
        return {
            name: field.annotation
            for name, field in cls.model_fields.items()
            if isinstance(field.annotation, type) and issubclass(field.annotation, EnvironmentSettings)
        }


def variable(name: str, default: Any = PydanticUndefined, **constraints: Any) -> Any:
    """The field of an environment variable; without a default it is required. `constraints` are those of `Field`."""
    return Field(default, validation_alias=name, **constraints)


def _read_switch(value: object) -> object:
    if isinstance(value, str) and value not in ("true", "false"):
        raise ValueError("use true or false.")
    return value


Switch = Annotated[bool, BeforeValidator(_read_switch)]
"""`true` or `false`; pydantic would also take 1, yes and on."""


def _read_integer(value: object) -> object:
    """Without a reason of its own: the bounds say what to write."""
    try:
        return int(value) if isinstance(value, str) else value
    except ValueError:
        raise ValueError from None


def _read_digits(value: object) -> object:
    if isinstance(value, str) and not (value.isascii() and value.isdigit()):
        raise ValueError
    return value


_DIGITS = BeforeValidator(_read_digits)

Integer = Annotated[int, BeforeValidator(_read_integer)]
"""Text that `int` takes; pydantic would also take 1.0."""
WholeNumber = Annotated[int, _DIGITS]
"""Digits only: no sign, no space, no underscore."""
WholeSeconds = Annotated[float, _DIGITS]
"""Digits only in the environment; code may set a fraction."""


def bounds_text(field: FieldInfo) -> str:
    """What a field takes: `Queue or Reject`, `a whole number from 1 to 100`; empty when any text does."""
    if isinstance(field.annotation, type) and issubclass(field.annotation, Enum):
        *others, last = (str(each.value) for each in field.annotation)
        return f"{', '.join(others)} or {last}" if others else last
    if field.annotation is bool:
        return "true or false"
    limits = {name: getattr(each, name) for each in field.metadata for name in ("ge", "le") if hasattr(each, name)}
    if not limits:
        return ""
    number = "a number" if field.annotation is float and _DIGITS not in field.metadata else "a whole number"
    return f"{number} from {limits['ge']}" + (f" to {limits['le']}" if "le" in limits else "")


def _sentences(error: ValidationError, settings: type[EnvironmentSettings]) -> list[str]:
    return [_sentence(each, settings) for each in error.errors(include_url=False)]


def _sentence(fault: Any, settings: type[EnvironmentSettings]) -> str:
    """One fault of pydantic's, as a sentence that names the variable. A text that names it already stays as it is."""
    reason = str(fault["ctx"]["error"]) if fault["type"] == "value_error" else ""
    if not fault["loc"]:
        return reason
    if fault["type"] == "extra_forbidden":
        return f"{settings.__name__} has no field {fault['loc'][0]!r}."
    name, field = _variable_of(str(fault["loc"][0]), settings)
    if fault["type"] == "missing":
        return f"{name} is not set: {field.description}"
    if reason.startswith(name):
        return reason
    return f"{name} is {str(fault['input'])!r}: {reason or _expected(field, fault)}"


def _expected(field: FieldInfo, fault: Any) -> str:
    bounds = bounds_text(field)
    return f"use {bounds}." if bounds else f"{fault['msg']}."


def _variable_of(location: str, settings: type[EnvironmentSettings]) -> tuple[str, FieldInfo]:
    """A fault is at the field's name or at its variable, depending on which was given. A field may have no variable."""
    field = settings.model_fields.get(location)
    if field is None:
        return location, settings.variables()[location]
    return str(field.validation_alias or location), field
