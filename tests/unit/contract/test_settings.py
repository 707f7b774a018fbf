"""Settings from environment variables: defaults, bounds, and messages that name the variable."""

from enum import StrEnum

import pytest

from darkroom_contract.settings import EnvironmentSettings, Integer, Switch, WholeNumber, WholeSeconds, variable
from darkroom_contract.storage.s3 import AddressingStyle
from darkroom_contract.storage.settings import StorageSettings


class Colour(StrEnum):
    RED = "Red"
    BLUE = "Blue"
    GREEN = "Green"


class Shape(StrEnum):
    ROUND = "Round"


class WrongError(Exception):
    """The error type of the settings below."""


class Group(EnvironmentSettings):
    error_type = WrongError

    seconds: float = variable("APP_SECONDS", 1.5, ge=0, le=10)


class Settings(EnvironmentSettings):
    error_type = WrongError

    name: str = variable("APP_NAME")
    """Name of the app."""
    workers: Integer = variable("APP_WORKERS", 2, ge=1, le=8)
    """Number of workers."""
    colour: Colour = variable("APP_COLOUR", Colour.RED)
    shape: Shape = variable("APP_SHAPE", Shape.ROUND)
    debug: Switch = variable("APP_DEBUG", False)
    group: Group = Group()
    poll_seconds: float = 1.0
    """Not a variable."""


def test_defaults_apply_to_unset_and_to_empty_variables() -> None:
    settings = Settings.from_environment({"APP_NAME": "x", "APP_WORKERS": "", "OTHER": "y"})

    assert settings == Settings(name="x")
    assert (settings.workers, settings.colour, settings.debug, settings.group.seconds) == (2, Colour.RED, False, 1.5)


def test_every_kind_of_value_is_read() -> None:
    given = {"APP_NAME": "x", "APP_WORKERS": "8", "APP_COLOUR": "Blue", "APP_DEBUG": "true", "APP_SECONDS": "0.5"}

    settings = Settings.from_environment(given)

    assert (settings.workers, settings.colour, settings.debug, settings.group.seconds) == (8, Colour.BLUE, True, 0.5)


@pytest.mark.parametrize(
    ("name", "value", "advice"),
    [
        ("APP_WORKERS", "0", "use a whole number from 1 to 8"),
        ("APP_WORKERS", "9", "use a whole number from 1 to 8"),
        ("APP_WORKERS", "many", "use a whole number from 1 to 8"),
        ("APP_SECONDS", "nan", "use a number from 0 to 10"),
        ("APP_COLOUR", "red", "use Red, Blue or Green"),
        ("APP_SHAPE", "square", "use Round"),
        ("APP_DEBUG", "yes", "use true or false"),
    ],
)
def test_an_unusable_value_is_named_with_its_variable_and_what_to_write(name: str, value: str, advice: str) -> None:
    with pytest.raises(WrongError, match=rf"^{name} is '{value}': {advice}\.$"):
        Settings.from_environment({"APP_NAME": "x", name: value})


@pytest.mark.parametrize("value", ["1.0", "0x1", "1e0", " "])
def test_integers_are_written_as_int_takes_them(value: str) -> None:
    assert Settings.from_environment({"APP_NAME": "x", "APP_WORKERS": " +0_5 "}).workers == 5
    with pytest.raises(WrongError, match=rf"^APP_WORKERS is '{value}': use a whole number from 1 to 8\.$"):
        Settings.from_environment({"APP_NAME": "x", "APP_WORKERS": value})


class Plain(EnvironmentSettings):
    error_type = WrongError

    port: WholeNumber | None = variable("APP_PORT", None, ge=1, le=2000)
    wait_seconds: WholeSeconds = variable("APP_WAIT_SECONDS", 1.0, ge=1, le=2000)


@pytest.mark.parametrize("name", ["APP_PORT", "APP_WAIT_SECONDS"])
@pytest.mark.parametrize(
    "value", ["+5", "-0", " 5", "5 ", "5\n", "1_000", "5.0", "1.5", "1e2", "0x10", "nan", "٣", "²"]
)
def test_whole_numbers_are_digits_only(name: str, value: str) -> None:
    with pytest.raises(WrongError, match="whole number from 1 to 2000") as refusal:
        Plain.from_environment({name: value})

    assert str(refusal.value) == f"{name} is {value!r}: use a whole number from 1 to 2000."


def test_whole_numbers_of_the_environment_may_have_leading_zeros() -> None:
    settings = Plain.from_environment({"APP_PORT": "0080", "APP_WAIT_SECONDS": "05"})

    assert (settings.port, settings.wait_seconds) == (80, 5.0)


def test_settings_built_in_code_may_have_fractions_of_seconds() -> None:
    assert Plain(wait_seconds=1.5).wait_seconds == 1.5


def test_a_required_variable_that_is_unset_is_named_with_its_description() -> None:
    with pytest.raises(WrongError, match=r"^APP_NAME is not set: Name of the app\.$"):
        Settings.from_environment({})


def test_all_faults_are_reported_at_once() -> None:
    with pytest.raises(WrongError, match=r"APP_NAME is not set.*APP_WORKERS is '0'"):
        Settings.from_environment({"APP_WORKERS": "0"})


def test_settings_built_in_code_take_nothing_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_WORKERS", "8")

    assert Settings(name="x").workers == 2


def test_bounds_apply_to_settings_built_in_code() -> None:
    with pytest.raises(WrongError, match="APP_WORKERS is '9'"):
        Settings(name="x", workers=9)


def test_faults_of_settings_built_in_code_name_the_field_when_it_has_no_variable() -> None:
    with pytest.raises(WrongError, match=r"^poll_seconds is 'often': Input should be a valid number"):
        Settings(name="x", poll_seconds="often")
    with pytest.raises(WrongError, match=r"^Settings has no field 'worker'\.$"):
        Settings(name="x", worker=2)


def test_variables_lists_all_of_them_those_of_groups_included() -> None:
    assert set(Settings.variables()) == {
        *("APP_NAME", "APP_WORKERS", "APP_COLOUR", "APP_SHAPE", "APP_DEBUG", "APP_SECONDS")
    }


def test_storage_settings_are_normalised() -> None:
    given = {"DARKROOM_S3_ENDPOINT_URL": "https://s3.example.com/", "DARKROOM_S3_ADDRESSING_STYLE": "virtual"}

    settings = StorageSettings.from_environment(given)

    assert settings.s3_endpoint_url == "https://s3.example.com"
    assert settings.s3_addressing_style is AddressingStyle.VIRTUAL


def test_an_endpoint_with_a_password_is_refused_without_repeating_it() -> None:
    with pytest.raises(ValueError, match=r"^DARKROOM_S3_ENDPOINT_URL holds a user or a password") as refusal:
        StorageSettings.from_environment({"DARKROOM_S3_ENDPOINT_URL": "https://me:secret@s3.example.com"})

    assert "secret" not in str(refusal.value)
