"""Tokens of ServiceAccounts: claims, expiry and validity."""

from pathlib import Path

import pytest

from darkroom_local.apiserver.auth.authenticator import ADMIN, Authenticator, User
from darkroom_local.apiserver.auth.tokens import AUDIENCE, BoundObject, Claims, Tokens, load_or_create_key
from darkroom_local.apiserver.storage.store import Store

KEY = b"k" * 32
ACCOUNT = {"metadata": {"namespace": "default", "name": "gateway", "uid": "u1"}}


class Clock:
    def __init__(self) -> None:
        self.seconds = 1_000_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tokens(clock: Clock) -> Tokens:
    return Tokens(KEY, clock)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "objects.sqlite")


def make_token(tokens: Tokens, seconds: int = 600, audience: str = AUDIENCE, bound: BoundObject | None = None) -> bytes:
    return tokens.issue(ACCOUNT, seconds, [audience], bound).token.encode()


def test_token_identifies_its_service_account(tokens: Tokens) -> None:
    claims = tokens.verify(make_token(tokens, bound=BoundObject("Pod", "one", "u2")))
    assert claims is not None
    assert claims == Claims("default", "gateway", "u1", claims.token_id, BoundObject("Pod", "one", "u2"))


def test_token_expires_at_the_exact_second(tokens: Tokens, clock: Clock) -> None:
    issued = tokens.issue(ACCOUNT, 600, [AUDIENCE])
    assert issued.expires == 1_000_600
    clock.seconds += 599.9
    assert tokens.verify(issued.token.encode())
    clock.seconds += 0.1
    assert tokens.verify(issued.token.encode()) is None


def test_tokens_with_a_wrong_signature_are_rejected(tokens: Tokens) -> None:
    token = make_token(tokens)
    header, payload, signature = token.split(b".")
    other = make_token(Tokens(b"o" * 32, Clock()))
    swapped = b".".join([header, other.split(b".")[1][:-2] + b"AA", signature])
    unsigned = header + b"." + payload
    for wrong in (other, swapped, unsigned, unsigned + b".", b"", b".", b"..", token + b"x"):
        assert tokens.verify(wrong) is None


def test_token_for_another_audience_is_rejected(tokens: Tokens) -> None:
    assert tokens.verify(make_token(tokens, audience="vault")) is None


def test_signing_key_survives_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "token.key"
    assert load_or_create_key(path) == load_or_create_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(load_or_create_key(path)) == 32


def test_only_the_admin_and_existing_accounts_are_authenticated(tokens: Tokens, store: Store) -> None:
    authenticator = Authenticator("secret", tokens, store)
    token = make_token(tokens)
    assert authenticator.user(b"secret") == ADMIN
    assert authenticator.user(token) is None
    written = store.create("/serviceaccounts", ACCOUNT)
    groups = ("system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated")
    assert authenticator.user(token) == User("system:serviceaccount:default:gateway", groups, "u1")
    store.remove("/serviceaccounts", written, written["metadata"]["resourceVersion"])
    store.create("/serviceaccounts", {"metadata": {**ACCOUNT["metadata"], "uid": "another"}})
    assert authenticator.user(token) is None
    assert Authenticator("", tokens, store).user(b"") is None


def test_token_bound_to_a_pod_becomes_invalid_with_the_pod(tokens: Tokens, store: Store) -> None:
    authenticator = Authenticator("secret", tokens, store)
    token = make_token(tokens, bound=BoundObject("Pod", "one", "u2"))
    store.create("/serviceaccounts", ACCOUNT)
    assert authenticator.user(token) is None
    pod = store.create("/pods", {"metadata": {"namespace": "default", "name": "one", "uid": "u2"}})
    assert authenticator.user(token)
    store.remove("/pods", pod, pod["metadata"]["resourceVersion"])
    assert authenticator.user(token) is None
