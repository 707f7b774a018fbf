"""Addresses of Redis that can't be used."""

import pytest

from darkroom_operator.cache.redis_connection import open_redis
from darkroom_operator.errors import SettingsError


@pytest.mark.parametrize("password", ["secret/word", "secret#word", "secret?word", "2024/secret", "2024?secret"])
def test_error_about_an_address_repeats_nothing_of_its_password(password: str) -> None:
    """redis-py takes the beginning of such a password for the port, and names it."""
    with pytest.raises(SettingsError, match="Percent-encode every character of its password") as error:
        open_redis(f"redis://:{password}@redis:6379/0")

    assert "secret" not in str(error.value)
    assert "2024" not in str(error.value)
