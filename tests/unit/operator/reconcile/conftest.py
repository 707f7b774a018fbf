"""The stage of the reconcile loop's tests."""

import pytest
from support.reconcile_stage import Stage


@pytest.fixture
def stage() -> Stage:
    return Stage()
