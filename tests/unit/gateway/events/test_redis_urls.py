"""Options in the Redis URL: every reply format is read, and invalid options are refused at startup."""

import json
from contextlib import closing

import pytest
import redis

from darkroom_contract.progress import STREAM_FIELD, stream_name
from darkroom_gateway.errors import SettingsError
from darkroom_gateway.redis.progress_streams import BEGINNING, EntryId, ProgressStreams
from darkroom_gateway.settings import Settings

EVENT = {"attempt": 1, "stage": "Denoising", "step": 3, "total": 9, "time": "2026-01-02T03:04:05Z"}

QUERIES = ["", "?protocol=2", "?protocol=3", "?legacy_responses=false", "?protocol=3&legacy_responses=false"]


@pytest.mark.parametrize("query", QUERIES)
async def test_progress_of_several_jobs_is_read_in_every_reply_format(
    query: str, redis_url: str, job_name: str
) -> None:
    other, unknown = f"other-{job_name}", f"no-{job_name}"
    with closing(redis.Redis.from_url(redis_url)) as store:
        for uid, entry in ((job_name, "1-1"), (job_name, "2-1"), (other, "7-0")):
            store.xadd(stream_name(uid), {STREAM_FIELD: json.dumps(EVENT)}, id=entry)
    progress = ProgressStreams(Settings(redis_url=redis_url + query))
    try:
        found = await progress.read({job_name: BEGINNING, other: BEGINNING, unknown: BEGINNING}, 1.0)
        one = await progress.read({job_name: EntryId(1, 1)}, 0.0)
        none = await progress.read({job_name: EntryId(2, 1)}, 0.05)
        newest = await progress.newest([job_name, other, unknown])
    finally:
        await progress.close()

    assert {uid: [str(each.id) for each in entries] for uid, entries in found.entries.items()} == {
        job_name: ["1-1", "2-1"],
        other: ["7-0"],
    }
    assert [each.event is not None and each.event.step for each in found.entries[job_name]] == [3, 3]
    assert [each.id for each in one.entries[job_name]] == [EntryId(2, 1)]
    assert none.entries == {}
    assert newest == {job_name: EntryId(2, 1), other: EntryId(7, 0), unknown: None}


@pytest.mark.parametrize("query", QUERIES)
async def test_stream_that_redis_refuses_does_not_affect_others(query: str, redis_url: str, job_name: str) -> None:
    broken = f"broken-{job_name}"
    with closing(redis.Redis.from_url(redis_url)) as store:
        store.set(stream_name(broken), "no stream")
        store.xadd(stream_name(job_name), {STREAM_FIELD: json.dumps(EVENT)}, id="1-1")
    progress = ProgressStreams(Settings(redis_url=redis_url + query))
    try:
        found = await progress.read({broken: BEGINNING, job_name: BEGINNING}, 0.05)
        newest = await progress.newest([broken, job_name])
    finally:
        await progress.close()

    assert (list(found.entries), list(found.refused)) == ([job_name], [broken])
    assert newest == {job_name: EntryId(1, 1)}


async def test_entry_that_is_not_text_is_skipped(redis_url: str, job_name: str) -> None:
    with closing(redis.Redis.from_url(redis_url)) as store:
        store.xadd(stream_name(job_name), {STREAM_FIELD: b"\xff\xfe"})
        store.xadd(stream_name(job_name), {STREAM_FIELD: json.dumps(EVENT)})
    progress = ProgressStreams(Settings(redis_url=redis_url))
    try:
        first, second = (await progress.read({job_name: BEGINNING}, 1.0)).entries[job_name]
    finally:
        await progress.close()

    assert first.event is None
    assert second.event is not None


@pytest.mark.parametrize(
    "query", ["protocol=4", "protocol=three", "nonsense=1", "ssl_cert_reqs=none", "encoding=utf-99", "db=x"]
)
def test_invalid_query_option_is_refused_at_startup(query: str) -> None:
    with pytest.raises(SettingsError, match="DARKROOM_REDIS_URL is not a Redis URL"):
        ProgressStreams(Settings(redis_url=f"redis://redis:6379/0?{query}"))
