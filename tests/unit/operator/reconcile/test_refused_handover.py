"""An idle pod that the cluster does not let us hand over is deleted, so that its slot is not blocked."""

from types import SimpleNamespace
from typing import Any

import pytest
from support.operator_snapshots import NOW, running
from support.planned_actions import OTHER, POD

from darkroom_operator.cache.cache import Cache
from darkroom_operator.errors import ApiError
from darkroom_operator.reconcile.actions import TakeOverPod
from darkroom_operator.reconcile.executor import ActionExecutor


class RefusingApi:
    """Refuses every patch of a pod with one code."""

    def __init__(self, code: int) -> None:
        self.code = code
        self.deleted: list[str] = []

    async def patch_pod(self, name: str, patch: Any) -> Any:
        raise ApiError(f"PATCH pods/{name}", self.code, "Refused", "by a policy")

    async def delete_pod(self, name: str, uid: str, version: str) -> None:
        self.deleted.append(uid)


async def take_over(code: int) -> list[str]:
    api: Any = RefusingApi(code)
    executor = ActionExecutor(api, Cache(), SimpleNamespace(), lambda: NOW)  # type: ignore[arg-type]

    async def no_refresh(pod: Any) -> None:
        return None

    executor._refresh.pod = no_refresh  # type: ignore[method-assign]
    await executor.send(TakeOverPod(running(POD), OTHER, 1))
    return api.deleted  # type: ignore[no-any-return]


@pytest.mark.parametrize("code", [400, 403, 422])
async def test_pod_whose_hand_over_is_forbidden_is_deleted(code: int) -> None:
    assert await take_over(code) == [POD.uid]


@pytest.mark.parametrize("code", [429, 500, 503])
async def test_pod_stays_when_the_server_is_only_busy(code: int) -> None:
    with pytest.raises(ApiError):
        await take_over(code)
