"""Reading through a memory answers as the store does, and notices what is written."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from footage.stores import Store, open_store
from footage.stores.cached import CachedReads
from footage.types import Embeddings, MediaFile, Space, Video

DIM = 8


def video(number: int, samples: int, indexed_at: float = 1.0) -> Video:
    file = MediaFile(f"/films/{number:03}.mp4", 1, 1)
    return Video(f"{number:032x}", (file,), samples, 1, 1, 1, "", "", 0, samples, "", indexed_at=indexed_at)


def rows(of: Video, seed: int) -> Embeddings:
    vectors = np.random.default_rng(seed).normal(size=(of.samples, DIM)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    start = np.arange(of.samples, dtype=np.float64)
    return Embeddings("s", of.id, start, start + 1, start, vectors)


@pytest.fixture(params=["memory", "lance", "lite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "lite":
        pytest.importorskip("milvus_lite")
    uri = {"memory": "memory:", "lance": f"lance:{tmp_path}", "lite": f"milvus:{tmp_path}"}
    made = open_store(uri[request.param])
    made.create_space(Space("s", DIM, ("text",)))
    for number in range(6):
        made.put(video(number, 5 + number), [rows(video(number, 5 + number), number)])
    yield made
    made.erase()
    made.close()


def same(one: CachedReads, two: Store, **options: object) -> None:
    queries = np.random.default_rng(99).normal(size=(3, DIM)).astype(np.float32)
    for k in (1, 7, 1000):
        for mine, theirs in zip(
            one.search("s", queries, k, **options), two.search("s", queries, k, **options), strict=True
        ):  # type: ignore[arg-type]
            assert np.allclose(mine.score, theirs.score, atol=2e-3)
            assert len(mine) == len(theirs) and sorted(mine.video_ids) == sorted(theirs.video_ids)
            assert mine.video_ids[0] == theirs.video_ids[0] and mine.at[0] == theirs.at[0]


def test_answers_are_those_of_the_store(store: Store) -> None:
    cached = CachedReads(store)
    for _ in range(5):  # from the store first, then from memory
        same(cached, store)
    ids = [video(1, 0).id, video(4, 0).id]
    same(cached, store, videos=ids)
    for each in store.videos():
        assert np.array_equal(cached.vectors("s", each.id).vectors, store.vectors("s", each.id).vectors)


def test_several_videos_are_read_at_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    cached, asked = CachedReads(store), list[list[str]]()
    real = store.vectors_of

    def counted(space: str, ids: Sequence[str]) -> list[Embeddings]:
        asked.append(list(ids))
        return real(space, ids)

    monkeypatch.setattr(store, "vectors_of", counted)
    ids = [each.id for each in store.videos()]
    cached.vectors("s", ids[1])
    found = cached.vectors_of("s", [*ids, ids[0]])
    assert [part.video_id for part in found] == [*ids, ids[0]]
    assert asked == [[ids[1]], [i for i in ids if i != ids[1]]]
    cached.vectors_of("s", ids)
    assert len(asked) == 2


def test_what_is_written_is_seen(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("footage.stores.cached._NOW", 0.0)
    cached = CachedReads(store)
    for _ in range(5):
        same(cached, store)
    store.put(video(7, 9), [rows(video(7, 9), 70)])
    same(cached, store)
    again = replace(video(2, 4), indexed_at=2.0)
    store.put(again, [rows(again, 71)])
    assert len(cached.vectors("s", again.id)) == 4
    same(cached, store)
    store.delete([video(0, 0).id])
    assert len(cached.vectors("s", video(0, 0).id)) == 0
    same(cached, store)


def test_what_is_not_committed_is_not_seen(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("footage.stores.cached._NOW", 0.0)
    cached = CachedReads(store)
    store.add([rows(video(9, 3), 90)])
    for _ in range(5):
        same(cached, store)
        assert len(cached.vectors("s", video(9, 3).id)) == 0


def test_the_memory_is_bounded(store: Store) -> None:
    cached = CachedReads(store, limit_bytes=3 * 8 * DIM * 4)
    for _ in range(3):
        for each in store.videos():
            assert len(cached.vectors("s", each.id)) == each.samples
    assert cached._bytes <= 3 * 8 * DIM * 4


def test_a_query_gets_the_same_alone_and_among_others(store: Store) -> None:
    for number in range(10, 90):
        store.put(video(number, 30), [rows(video(number, 30), number)])
    cached = CachedReads(store)
    queries = np.random.default_rng(1).normal(size=(16, DIM)).astype(np.float32)
    for _ in range(3):
        cached.search("s", queries, 5)
    together = cached.search("s", queries, 2000)
    for query, hits in zip(queries, together, strict=True):
        (one,) = cached.search("s", query[None], 2000)
        assert one.video_ids == hits.video_ids and np.array_equal(one.score, hits.score)


def test_what_lies_in_the_matrix_is_kept_once(store: Store) -> None:
    cached = CachedReads(store)
    for _ in range(5):
        same(cached, store)
    assert cached._bytes == 0 and not cached._vectors
    matrix = cached._wholes["s"].rows
    assert all(np.shares_memory(cached.vectors("s", each.id).vectors, matrix) for each in store.videos())


def test_one_waits_for_a_busy_store_and_the_others_go_on(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    cached = CachedReads(store)
    for _ in range(5):
        same(cached, store)
    asked, go_on = threading.Event(), threading.Event()
    real = store.videos

    def slowly() -> list[Video]:
        asked.set()
        assert go_on.wait(60)
        return real()

    monkeypatch.setattr(store, "videos", slowly)
    store.put(video(8, 4), [rows(video(8, 4), 80)])
    first = threading.Thread(target=cached.videos)
    first.start()
    assert asked.wait(60)
    assert video(8, 0).id not in {each.id for each in cached.videos()}, "what was known before, at once"
    go_on.set()
    first.join(60)
    assert video(8, 0).id in {each.id for each in cached.videos()}
