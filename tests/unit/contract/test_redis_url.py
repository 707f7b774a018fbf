"""Addresses of Redis: those that redis-py would read as another server's are refused."""

import pytest

from darkroom_contract.redis_url import check_redis_url


@pytest.mark.parametrize(
    "url",
    [
        "redis://redis",
        "redis://redis:6379",
        "redis://redis:6379/",
        "redis://redis:6379/0",
        "rediss://user:2024%2Fsecret@redis.example:6380/15?protocol=3&ssl_ca_certs=/etc/ssl/ca.pem",
        "redis://:p@ss@redis:6379/0",
        "redis://[::1]:6379/0?client_name=a%40b",
        "unix:///run/valkey/valkey.sock?db=3",
        "unix://user:secret@/run/valkey.sock",
        "unix:///run/a%40b.sock",
    ],
)
def test_address_of_one_server_is_taken(url: str) -> None:
    check_redis_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "redis://:2024/secret@redis:6379/0",
        "redis://user:2024/secret@redis:6379/0",
        "redis://:2024?secret@redis:6379/0",
        "redis://:2024#secret@redis:6379/0",
        "rediss://:2024/@redis:6379/0",
        "redis://redis:6379/0?password=secret@1",
        "redis://redis:6379/zero",
        "redis://redis:6379/0/1",
        "redis://redis:6379/\N{ARABIC-INDIC DIGIT ONE}",
        "redis://:secret[word@redis:6379/0",
        "unix://:secret/word@/run/valkey.sock",
    ],
)
def test_other_address_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ValueError, match=r"^$"):
        check_redis_url(url)
