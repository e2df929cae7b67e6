"""One contract for all stores. `StoreContract` is run on every backend; a new one only adds a fixture."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from milvus_server import MilvusProcess

from footage.errors import FootageError, QueryError, SpaceMismatch, StoreError
from footage.stores import Store, open_store
from footage.stores.memory import MemoryStore
from footage.types import Embeddings, Hits, MediaFile, Space, Video

DIM = 32
IMAGE = Space("image", DIM, ("image", "window"))
TEXT = Space("text", 8, ("text",))


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def video(video_id: str, samples: int = 10, **changes: object) -> Video:
    made = Video(
        id=video_id,
        files=(MediaFile(f"/films/{video_id}.mp4", 1000, 123456789),),
        duration=float(samples),
        width=640,
        height=360,
        fps=25.0,
        codec="h264",
        container="mp4",
        recorded_at=1.7e9,
        samples=samples,
        sampling="1s",
    )
    return replace(made, **changes)


def rows(video_id: str, n: int = 10, space: Space = IMAGE, seed: int | None = None) -> Embeddings:
    rng = np.random.default_rng(zlib.crc32((video_id + space.name).encode()) if seed is None else seed)
    start = np.arange(n, dtype=np.float64)
    return Embeddings(space.name, video_id, start, start + 1, start + 0.25, unit(rng.standard_normal((n, space.dim))))


def keys(hits: Hits) -> list[tuple[str, float]]:
    return list(zip(hits.video_ids, hits.at.tolist(), strict=True))


def fill(store: Store, videos: int, n: int = 10) -> None:
    store.create_space(IMAGE)
    store.add([rows(f"v{i:04}", n) for i in range(videos)])
    store.commit([video(f"v{i:04}", n) for i in range(videos)])


class StoreContract:
    """What every store does. A subclass overrides the fixture `make`, which opens the same empty store anew."""

    tolerance = 1e-6
    keeps = True  # what was written is there after the store was opened again

    @pytest.fixture
    def make(self, tmp_path: Path) -> Callable[[], Store]:
        raise NotImplementedError

    @pytest.fixture
    def store(self, make: Callable[[], Store]) -> Store:
        return make()

    # spaces

    def test_spaces_keep_their_order_and_facts(self, store: Store) -> None:
        assert store.spaces() == []
        made = [Space("zebra", 4, ("text",)), Space("image@1280", 8, ("image", "window")), Space("Image", 3), TEXT]
        for space in made:
            store.create_space(space)
        assert store.spaces() == made

    def test_names_that_a_file_system_may_confuse(self, store: Store) -> None:
        names = ["a b", "a_b", "A b", "a/b", "a%20b", "a#b", "a?b", "ä", "con", "a~b", "a:b", "."]
        for i, name in enumerate(names):
            store.create_space(Space(name, i + 1))
        assert [(s.name, s.dim) for s in store.spaces()] == [(name, i + 1) for i, name in enumerate(names)]

    def test_create_space_twice(self, store: Store) -> None:
        store.create_space(IMAGE)
        store.create_space(IMAGE)
        with pytest.raises(SpaceMismatch, match="32 dimensions"):
            store.create_space(replace(IMAGE, dim=16))
        assert store.spaces() == [IMAGE]

    @pytest.mark.parametrize("space", [Space("", 4), Space("x", 0)])
    def test_create_a_space_that_holds_nothing(self, store: Store, space: Space) -> None:
        with pytest.raises(SpaceMismatch):
            store.create_space(space)

    # spaces of a library that is in use

    def test_a_space_is_added_and_filled_beside_the_others(self, make: Callable[[], Store]) -> None:
        store = make()
        fill(store, 3)
        store.create_space(TEXT)
        assert store.counts("text") == {}
        store.fill([rows("v0000", space=TEXT), rows("v0002", 4, TEXT)])
        store = make() if self.keeps else store
        assert store.counts("text") == {"v0000": 10, "v0002": 4}
        assert store.counts("image") == {f"v{i:04}": 10 for i in range(3)}
        (hits,) = store.search("text", rows("v0000", space=TEXT).vectors[:1], 100)
        assert set(hits.video_ids) == {"v0000", "v0002"} and len(hits) == 14
        assert len(store.vectors("text", "v0001")) == 0

    def test_fill_replaces_what_the_space_has_of_a_video(self, store: Store) -> None:
        fill(store, 2)
        store.create_space(TEXT)
        store.fill([rows("v0000", 3, TEXT, seed=1), rows("v0001", space=TEXT)])
        for _ in range(2):
            store.fill([rows("v0000", 10, TEXT, seed=2)])
        assert store.counts("text") == {"v0000": 10, "v0001": 10}
        back = store.vectors("text", "v0000").vectors
        assert np.allclose(back, rows("v0000", space=TEXT, seed=2).vectors, atol=self.tolerance)
        assert store.counts("image") == {"v0000": 10, "v0001": 10}
        store.fill([])

    def test_fill_refuses_what_does_not_fit_and_writes_nothing(self, store: Store) -> None:
        fill(store, 1)
        store.create_space(TEXT)
        with pytest.raises(SpaceMismatch):
            store.fill([rows("v0000", space=TEXT), rows("v0000", space=Space("none", 4))])
        with pytest.raises(SpaceMismatch):
            store.fill([rows("v0000", space=TEXT), replace(rows("v0000"), space="text")])
        assert store.counts("text") == {}

    def test_a_space_is_dropped(self, make: Callable[[], Store]) -> None:
        store = make()
        fill(store, 2)
        store.create_space(TEXT)
        store.fill([rows("v0000", space=TEXT)])
        store.add([rows("pending", 2, TEXT)])
        assert store.drop_space("text") is True
        assert store.drop_space("text") is False
        for each in (store, make() if self.keeps else store):
            assert each.spaces() == [IMAGE]
            with pytest.raises(SpaceMismatch, match="no space 'text'"):
                each.search("text", rows("q", 1, TEXT).vectors, 3)
            with pytest.raises(SpaceMismatch, match="no space 'text'"):
                each.fill([rows("v0000", space=TEXT)])
        assert store.counts("image") == {"v0000": 10, "v0001": 10}
        store.commit([video("pending", 2)])

    def test_a_space_comes_again_empty_and_of_another_dimension(self, store: Store) -> None:
        fill(store, 1)
        store.create_space(TEXT)
        store.fill([rows("v0000", space=TEXT)])
        store.drop_space("text")
        wider = replace(TEXT, dim=12)
        store.create_space(wider)
        assert store.spaces() == [IMAGE, wider] and store.counts("text") == {}
        store.fill([rows("v0000", space=wider)])
        (hits,) = store.search("text", rows("v0000", space=wider).vectors[:1], 1)
        assert keys(hits) == [("v0000", 0.25)]

    # visibility

    def test_rows_are_invisible_until_their_video_is_committed(self, store: Store) -> None:
        fill(store, 2)
        hidden = rows("hidden")
        store.add([hidden])
        (hits,) = store.search("image", hidden.vectors[:1], 100)
        assert set(hits.video_ids) == {"v0000", "v0001"} and len(hits) == 20
        assert len(store.vectors("image", "hidden")) == 0
        assert store.get("hidden") is None
        assert store.counts("image") == {"v0000": 10, "v0001": 10, "hidden": 10}
        store.commit([video("hidden")])
        (hits,) = store.search("image", hidden.vectors[:1], 1)
        assert hits.video_ids == ["hidden"]

    def test_many_invisible_rows_do_not_push_the_visible_ones_out(self, store: Store) -> None:
        query = rows("q", 1).vectors
        near = unit(query + 0.01 * np.random.default_rng(1).standard_normal((300, DIM)))
        times = np.arange(300.0)
        fill(store, 3)
        store.add([Embeddings("image", "dark", times, times + 1, times, near)])
        store.counts("image")  # sees them, so they are written by now
        (hits,) = store.search("image", query, 25)
        assert len(hits) == 25 and "dark" not in hits.video_ids
        (hits,) = store.search("image", query, 25, exact=True)
        assert len(hits) == 25 and "dark" not in hits.video_ids

    def test_a_video_without_rows(self, store: Store) -> None:
        fill(store, 1)
        store.commit([video("empty", 0)])
        assert store.get("empty") == video("empty", 0)
        assert len(store.vectors("image", "empty")) == 0
        assert store.search("image", rows("q", 1).vectors, 5, videos=["empty"])[0].video_ids == []

    def test_rows_may_come_in_parts(self, store: Store) -> None:
        store.create_space(IMAGE)
        whole = rows("v", 9)
        for part in (slice(3, 6), slice(0, 3), slice(6, 9)):
            columns = (whole.start[part], whole.end[part], whole.at[part], whole.vectors[part])
            store.add([Embeddings("image", "v", *columns)])
        store.add([rows("v", 0)])
        store.commit([video("v", 9)])
        back = store.vectors("image", "v")
        assert back.at.tolist() == whole.at.tolist()
        assert np.allclose(back.vectors, whole.vectors, atol=self.tolerance)

    def test_the_callers_arrays_are_copied(self, store: Store) -> None:
        store.create_space(IMAGE)
        mine = rows("v", 3)
        kept = mine.vectors.copy()
        store.add([mine])
        mine.vectors[:] = 0
        store.commit([video("v", 3)])
        assert np.allclose(store.vectors("image", "v").vectors, kept, atol=self.tolerance)

    # videos

    def test_a_video_comes_back_exactly(self, make: Callable[[], Store]) -> None:
        store = make()
        full = Video(
            id="sha-'\"; drop",
            files=(MediaFile("/a b/ü%20#?'.mp4", 2**40, 2**60 + 1), MediaFile("C:/x.mp4", 0, -5)),
            duration=12.345678901234567,
            width=1920,
            height=1080,
            fps=29.97002997,
            codec="av1",
            container="matroska,webm",
            recorded_at=-1.5e9,
            samples=7,
            sampling="every 1.0 s, 日本",
            has_audio=True,
            broken_at=3.25,
            warning="line one\nline two",
            indexed_at=1.79e9 + 0.123456,
        )
        bare = video("bare", 0, files=())
        store.commit([full, bare])
        store = make() if self.keeps else store
        assert store.get(full.id) == full
        assert store.get("bare") == bare
        assert type(store.get("bare").has_audio) is bool

    def test_videos_are_ordered_by_their_first_path(self, store: Store) -> None:
        store.commit([video("b"), video("c", files=()), video("a", files=(MediaFile("/z", 1, 1),))])
        assert [v.id for v in store.videos()] == ["c", "b", "a"]
        assert store.get("unknown") is None

    def test_commit_replaces_the_row(self, store: Store) -> None:
        fill(store, 2)
        moved = video("v0000", files=(MediaFile("/elsewhere.mp4", 1, 2),))
        store.commit([moved, video("new")])
        assert store.get("v0000") == moved
        assert len(store.videos()) == 3
        assert store.counts("image")["v0000"] == 10
        store.commit([])
        store.commit([video("new", warning="first"), video("new", warning="last")])
        assert store.get("new").warning == "last" and len(store.videos()) == 3

    def test_put_is_idempotent(self, store: Store) -> None:
        fill(store, 2)
        store.create_space(TEXT)
        for seed in (1, 2, 2):
            store.put(video("v"), [rows("v", 10, seed=seed), rows("v", 4, TEXT, seed=seed)])
        assert store.counts("image")["v"] == 10 and store.counts("text") == {"v": 4}
        assert np.allclose(store.vectors("image", "v").vectors, rows("v", seed=2).vectors, atol=self.tolerance)

    def test_put_refuses_rows_of_another_video_and_writes_nothing(self, store: Store) -> None:
        fill(store, 1)
        with pytest.raises(StoreError, match="v2"):
            store.put(video("v0000"), [rows("v2")])
        with pytest.raises(SpaceMismatch):
            store.put(video("v0000"), [rows("v0000", space=Space("none", 4))])
        assert store.counts("image") == {"v0000": 10} and store.get("v0000") is not None

    def test_delete(self, store: Store) -> None:
        fill(store, 3)
        store.create_space(TEXT)
        store.put(video("o'hara"), [rows("o'hara"), rows("o'hara", 2, TEXT)])
        store.add([rows("uncommitted")])
        store.delete(["v0001", "o'hara", "unknown", "uncommitted"])
        store.delete([])
        assert {v.id for v in store.videos()} == {"v0000", "v0002"}
        assert store.counts("image") == {"v0000": 10, "v0002": 10}
        assert store.counts("text") == {}
        (hits,) = store.search("image", rows("v0001").vectors[:1], 100)
        assert set(hits.video_ids) == {"v0000", "v0002"}

    def test_sweep_removes_what_was_not_committed(self, make: Callable[[], Store]) -> None:
        store = make()
        fill(store, 2)
        store.create_space(TEXT)
        store.add([rows("orphan", 7), rows("orphan", 3, TEXT)])
        store.counts("image")  # an audit sees them, so they are written by now
        store = make() if self.keeps else store
        assert store.sweep() == 10
        assert store.sweep() == 0
        assert store.counts("image") == {"v0000": 10, "v0001": 10} and store.counts("text") == {}

    def test_add_refuses_what_does_not_fit(self, store: Store) -> None:
        store.create_space(IMAGE)
        good = rows("v", 3)
        with pytest.raises(SpaceMismatch, match="no space 'sound'"):
            store.add([replace(good, space="sound")])
        with pytest.raises(SpaceMismatch):
            store.add([good, replace(good, vectors=good.vectors[:, :-1])])
        with pytest.raises(SpaceMismatch):
            store.add([replace(good, vectors=good.vectors[0])])
        with pytest.raises(StoreError, match="length"):
            store.add([replace(good, at=good.at[:-1])])
        for value in (np.nan, np.inf):
            with pytest.raises(StoreError, match="finite"):
                store.add([replace(good, vectors=np.full((3, DIM), value, np.float32))])
        assert store.counts("image") == {}

    # search

    def test_search_is_numpy(self, store: Store) -> None:
        fill(store, 30)
        together = np.concatenate([rows(f"v{i:04}").vectors for i in range(30)])
        queries = unit(np.random.default_rng(3).standard_normal((5, DIM)))
        for query, hits in zip(queries, store.search("image", queries, 12), strict=True):
            scores = together @ query
            best = np.argsort(-scores)[:12]
            assert keys(hits) == [(f"v{i // 10:04}", i % 10 + 0.25) for i in best]
            assert np.allclose(hits.score, scores[best], atol=self.tolerance)
            assert hits.score.dtype == np.float32 and hits.at.dtype == np.float64
            assert np.array_equal(hits.start, hits.at - 0.25) and np.array_equal(hits.end, hits.at + 0.75)

    def test_the_length_of_a_query_does_not_matter(self, store: Store) -> None:
        fill(store, 3)
        query = rows("q", 1).vectors
        one = store.search("image", query, 5)[0]
        for factor in (1e-6, 3.0, 1e6):
            other = store.search("image", (query * factor).astype(np.float32), 5)[0]
            assert keys(one) == keys(other) and np.allclose(one.score, other.score, atol=self.tolerance)

    def test_zero_vectors(self, store: Store) -> None:
        fill(store, 1)
        at = np.arange(2.0)
        store.put(video("zero", 2), [Embeddings("image", "zero", at, at + 1, at, np.zeros((2, DIM), np.float32))])
        (hits,) = store.search("image", rows("q", 1).vectors, 100)
        assert len(hits) == 12
        assert hits.score[np.array(hits.video_ids) == "zero"].tolist() == [0, 0]
        (hits,) = store.search("image", np.zeros((1, DIM), np.float32), 100)
        assert len(hits) == 12 and not hits.score.any()

    @pytest.mark.parametrize("exact", [False, True])
    def test_fewer_hits_only_if_there_are_no_more(self, store: Store, exact: bool) -> None:
        fill(store, 5)
        query = rows("q", 1).vectors
        assert len(store.search("image", query, 1000, exact=exact)[0]) == 50
        assert len(store.search("image", query, 1000, videos=["v0001", "nope"], exact=exact)[0]) == 10
        assert len(store.search("image", query, 4, videos=["v0001"], exact=exact)[0]) == 4
        assert len(store.search("image", query, 4, videos=[], exact=exact)[0]) == 0
        assert len(store.search("image", query, 4, videos=["nope"], exact=exact)[0]) == 0
        everything = [f"v{i:04}" for i in range(5)]
        assert len(store.search("image", query, 1000, videos=everything, exact=exact)[0]) == 50

    def test_search_in_nothing(self, store: Store) -> None:
        store.create_space(IMAGE)
        (hits,) = store.search("image", rows("q", 1).vectors, 3)
        assert hits.video_ids == [] and len(hits.score) == 0
        assert store.search("image", np.empty((0, DIM), np.float32), 3) == []
        assert store.sample_vectors("image", 5).shape == (0, DIM)
        assert store.counts("image") == {} and store.videos() == [] and store.sweep() == 0
        store.refresh()

    def test_search_refuses_what_does_not_fit(self, store: Store) -> None:
        fill(store, 1)
        query = rows("q", 1).vectors
        with pytest.raises(SpaceMismatch, match="no space 'sound'"):
            store.search("sound", query, 3)
        with pytest.raises(SpaceMismatch, match="31"):
            store.search("image", query[:, :-1], 3)
        with pytest.raises(QueryError, match="shape"):
            store.search("image", query[0], 3)
        with pytest.raises(QueryError, match="finite"):
            store.search("image", query * np.nan, 3)
        with pytest.raises(QueryError, match="at least 1"):
            store.search("image", query, 0)
        for ask in (store.counts, lambda s: store.vectors(s, "v0000"), lambda s: store.sample_vectors(s, 3)):
            with pytest.raises(SpaceMismatch, match="sound"):
                ask("sound")

    def test_equal_scores_come_in_one_order(self, store: Store) -> None:
        store.create_space(IMAGE)
        same = np.repeat(rows("q", 1).vectors, 3, axis=0)
        at = np.array([2.0, 0.0, 1.0])
        for name in ("b", "a"):
            store.put(video(name, 3), [Embeddings("image", name, at, at + 1, at, same)])
        (hits,) = store.search("image", same[:1], 10)
        assert keys(hits) == [("a", 0), ("a", 1), ("a", 2), ("b", 0), ("b", 1), ("b", 2)]

    def test_vectors_come_by_time(self, store: Store) -> None:
        store.create_space(IMAGE)
        mixed = rows("v", 20)
        order = np.random.default_rng(0).permutation(20)
        columns = (mixed.start[order], mixed.end[order], mixed.at[order], mixed.vectors[order])
        store.put(video("v", 20), [Embeddings("image", "v", *columns)])
        back = store.vectors("image", "v")
        assert back.space == "image" and back.video_id == "v"
        assert np.array_equal(back.start, mixed.start) and np.array_equal(back.end, mixed.end)
        assert back.vectors.dtype == np.float32
        assert np.allclose(back.vectors, mixed.vectors, atol=self.tolerance)
        nothing = store.vectors("image", "unknown")
        assert len(nothing) == 0 and nothing.vectors.shape == (0, DIM)

    def test_vectors_of_several_videos(self, store: Store) -> None:
        fill(store, 5, 7)
        store.add([rows("hidden")])
        wanted = ["v0003", "unknown", "v0000", "hidden", "v0004"]
        found = store.vectors_of("image", wanted)
        assert [part.video_id for part in found] == wanted and [len(part) for part in found] == [7, 0, 7, 0, 7]
        for part in found:
            alone = store.vectors("image", part.video_id)
            assert np.array_equal(part.at, alone.at) and np.array_equal(part.vectors, alone.vectors)
        assert store.vectors_of("image", []) == []
        with pytest.raises(SpaceMismatch, match="no space"):
            store.vectors_of("none", ["v0000"])

    def test_a_rough_search_finds_what_is_there(self, store: Store) -> None:
        fill(store, 20)
        queries = rows("v0007").vectors
        found = store.search("image", queries, 3, rough=True)
        assert all((hits.video_ids[0], hits.at[0]) == ("v0007", n + 0.25) for n, hits in enumerate(found))
        assert all(len(hits) == 3 for hits in found)

    def test_sample_vectors_are_spread_and_the_same_again(self, store: Store) -> None:
        fill(store, 40)
        sample = store.sample_vectors("image", 40)
        assert sample.shape == (40, DIM) and sample.dtype == np.float32
        together = np.concatenate([rows(f"v{i:04}").vectors for i in range(40)])
        nearest = np.argmax(sample @ together.T, axis=1)
        assert sorted(nearest // 10) == list(range(40))  # one from each video
        assert np.array_equal(sample, store.sample_vectors("image", 40))
        assert store.sample_vectors("image", 10_000).shape == (400, DIM)
        assert store.sample_vectors("image", 0).shape == (0, DIM)
        store.refresh()
        assert np.array_equal(sample, store.sample_vectors("image", 40))

    def test_refresh_changes_no_answer(self, store: Store) -> None:
        for i in range(12):
            fill_one = rows(f"v{i}")
            store.create_space(IMAGE)
            store.put(video(f"v{i}"), [fill_one])
        store.delete(["v3"])
        query = rows("q", 2).vectors
        before = [keys(h) for h in store.search("image", query, 200)]
        store.refresh()
        store.refresh()
        assert [keys(h) for h in store.search("image", query, 200)] == before
        assert len(store.videos()) == 11

    def test_many_threads_share_a_store(self, store: Store) -> None:
        fill(store, 20)
        query = rows("q", 1).vectors
        expected = keys(store.search("image", query, 5, videos=[f"v{i:04}" for i in range(20)])[0])
        errors: list[BaseException] = []

        def read() -> None:
            try:
                for _ in range(10):
                    hits = store.search("image", query, 5, videos=[f"v{i:04}" for i in range(20)])[0]
                    assert keys(hits) == expected
                    assert len(store.vectors("image", "v0003")) == 10 and len(store.videos()) >= 20
            except BaseException as error:  # noqa: BLE001 - a thread's failure must reach the test
                errors.append(error)

        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        for i in range(5):
            store.put(video(f"w{i}"), [rows(f"w{i}")])
        for thread in threads:
            thread.join()
        assert errors == []

    def test_random_work_agrees_with_memory(self, make: Callable[[], Store]) -> None:
        store, truth = make(), MemoryStore()
        rng = np.random.default_rng(7)
        for each in (store, truth):
            each.create_space(IMAGE)
        for step in range(40):
            name, n = f"v{rng.integers(12)}", int(rng.integers(0, 30))
            action = rng.choice(["put", "put", "delete", "add", "refresh", "sweep", "again"])
            for each in (store, truth):
                if action == "put":
                    each.put(video(name, n), [rows(name, n, seed=step)])
                elif action == "delete":
                    each.delete([name])
                elif action == "add" and each.get(name) is None:
                    each.add([rows(name, n, seed=step)])
                elif action == "refresh":
                    each.refresh()
            if action == "sweep":
                assert store.sweep() == truth.sweep()
            if action == "again" and self.keeps:
                store.counts("image")
                store = make()
            assert store.videos() == truth.videos()
            assert store.counts("image") == truth.counts("image")
            query = unit(rng.standard_normal((2, DIM)))
            some = [f"v{i}" for i in rng.permutation(12)[: rng.integers(1, 12)]]
            for k, videos in ((7, None), (500, None), (9, some)):
                for a, b in zip(
                    store.search("image", query, k, videos=videos),
                    truth.search("image", query, k, videos=videos),
                    strict=True,
                ):
                    assert len(a) == len(b) and np.allclose(a.score, b.score, atol=2 * self.tolerance)
                    assert len(set(keys(a)) & set(keys(b))) >= len(b) - 1  # two may change places at the border

    # the end

    def test_erase_leaves_nothing(self, make: Callable[[], Store]) -> None:
        store = make()
        store.erase()
        fill(store, 2)
        store.add([rows("pending", 3)])
        store.erase()
        for each in (store, make() if self.keeps else store):
            assert each.spaces() == [] and each.videos() == [] and each.get("v0000") is None and each.sweep() == 0
        wider = replace(IMAGE, dim=16)
        store.create_space(wider)
        store.put(video("v0000", 2), [rows("v0000", 2, wider)])
        assert store.counts("image") == {"v0000": 2} and [v.id for v in store.videos()] == ["v0000"]

    def test_a_closed_store_says_so(self, store: Store) -> None:
        fill(store, 1)
        store.close()
        store.close()
        for use in (store.videos, store.spaces, store.refresh, store.sweep, lambda: store.get("v0000")):
            with pytest.raises(StoreError, match="closed"):
                use()
        with pytest.raises(StoreError, match="closed"):
            store.search("image", rows("q", 1).vectors, 1)
        with pytest.raises(StoreError, match="closed"):
            store.add([rows("v")])
        with pytest.raises(StoreError, match="closed"):
            store.delete(["v0000"])

    def test_what_was_written_is_there_again(self, make: Callable[[], Store]) -> None:
        if not self.keeps:
            pytest.skip("this store keeps nothing")
        store = make()
        fill(store, 3)
        query = rows("q", 1).vectors
        before, videos = keys(store.search("image", query, 10)[0]), store.videos()
        store.close()
        store = make()
        assert store.spaces() == [IMAGE] and store.videos() == videos
        assert keys(store.search("image", query, 10)[0]) == before


class TestMemory(StoreContract):
    keeps = False

    @pytest.fixture
    def make(self) -> Callable[[], Store]:
        return lambda: open_store("memory:")


class TestLance(StoreContract):
    tolerance = 1e-3  # float16

    @pytest.fixture
    def make(self, tmp_path: Path) -> Callable[[], Store]:
        return lambda: open_store(tmp_path / "store")


class TestMilvusLite(StoreContract):
    @pytest.fixture
    def make(self, tmp_path: Path) -> Iterator[Callable[[], Store]]:
        pytest.importorskip("milvus_lite")
        opened: list[Store] = []

        def open_one() -> Store:
            opened.append(open_store(f"milvus:{tmp_path / 'store'}"))
            return opened[-1]

        yield open_one
        for store in opened:
            store.close()


class TestMilvusServer(StoreContract):
    @pytest.fixture
    def make(self, milvus: MilvusProcess) -> Iterator[Callable[[], Store]]:
        name = secrets.token_hex(8)
        opened: list[Store] = []

        def open_one() -> Store:
            opened.append(open_store(milvus.uri, name=name))
            return opened[-1]

        yield open_one
        for store in opened:
            store.close()
        store = open_store(milvus.uri, name=name)
        store.erase()
        store.close()


# what only a directory can do


def clustered(n: int, dim: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = unit(rng.standard_normal((n // 50, dim)))
    which = np.repeat(np.arange(n // 50), 50)
    return unit(centres[which] + 0.8 * rng.standard_normal((n, dim)) / np.sqrt(dim))


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, MemoryStore]:
    """6000 rows of 120 videos in an index, 1000 rows of 20 videos beside it; 10 videos deleted since."""
    store, truth = open_store(tmp_path_factory.mktemp("indexed")), MemoryStore()
    vectors, at = clustered(7000, 64), np.arange(50.0)
    for each in (store, truth):
        each.create_space(Space("image", 64))
        for part in (range(120), range(120, 140)):
            each.add([Embeddings("image", f"v{i}", at, at + 1, at, vectors[50 * i : 50 * i + 50]) for i in part])
            each.commit([video(f"v{i}", 50) for i in part])
            if part.start == 0:
                each.refresh()
        each.delete([f"v{i}" for i in range(0, 140, 14)])
    return store, truth


def recall(store: Store, truth: MemoryStore, k: int, videos: list[str] | None = None) -> float:
    queries = unit(clustered(7000, 64)[::175] + 0.02 * np.random.default_rng(5).standard_normal((40, 64)))
    found = store.search("image", queries, k, videos=videos)
    right = truth.search("image", queries, k, videos=videos)
    assert [len(h) for h in found] == [len(h) for h in right]
    together = [len(set(keys(a)) & set(keys(b))) / len(b) if len(b) else 1.0 for a, b in zip(found, right, strict=True)]
    return float(np.mean(together))


def indices(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("space-*.lance/_indices/*")}


@pytest.mark.parametrize("k", [1, 10, 200, 10_000])
def test_the_index_finds_what_memory_finds(indexed: tuple[Store, MemoryStore], k: int) -> None:
    assert indices(indexed[0].path)
    assert recall(*indexed, k) >= 0.95


@pytest.mark.parametrize("videos", [["v5"], ["v14"], ["v130", "v5"], [f"v{i}" for i in range(70)], ["nope"]])
def test_the_index_and_a_filter(indexed: tuple[Store, MemoryStore], videos: list[str]) -> None:
    for k in (10, 300):
        assert recall(*indexed, k, videos) >= 0.95


def test_a_wide_filter_goes_through_the_index(
    indexed: tuple[Store, MemoryStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("footage.stores.lance._FEW_ROWS", 0)
    for videos in (["v5"], [f"v{i}" for i in range(0, 140, 3)], [f"v{i}" for i in range(1, 139)]):
        for k in (10, 300):
            assert recall(*indexed, k, videos) >= 0.95


def test_a_rough_search_of_the_index_finds_the_nearest(indexed: tuple[Store, MemoryStore]) -> None:
    store, truth = indexed
    queries = unit(clustered(7000, 64)[25::175] + 0.02 * np.random.default_rng(5).standard_normal((40, 64)))
    found = store.search("image", queries, 10, rough=True)
    right = truth.search("image", queries, 1)
    first = [hits for hits in right if float(hits.score[0]) > 0.95]  # those that were not deleted
    assert len(first) >= 25 and all(len(hits) == 10 for hits in found)
    near = [set(keys(b)) <= set(keys(a)) for a, b in zip(found, right, strict=True) if float(b.score[0]) > 0.95]
    assert np.mean(near) >= 0.95


def test_exact_is_exact(indexed: tuple[Store, MemoryStore]) -> None:
    store, truth = indexed
    queries = unit(np.random.default_rng(5).standard_normal((3, 64)))
    for videos in (None, ["v1", "v2"]):
        for a, b in zip(
            store.search("image", queries, 30, videos=videos, exact=True),
            truth.search("image", queries, 30, videos=videos),
            strict=True,
        ):
            assert np.allclose(a.score, b.score, atol=1e-3) and len(set(keys(a)) & set(keys(b))) >= 29


def test_the_index_follows_the_rows(tmp_path: Path) -> None:
    store, truth = open_store(tmp_path), MemoryStore()
    at = np.arange(1000.0)
    for each in (store, truth):
        each.create_space(Space("image", 64))
    vectors = clustered(30_000, 64)
    for i in range(30):
        part = Embeddings("image", f"v{i}", at, at + 1, at, vectors[1000 * i : 1000 * i + 1000])
        for each in (store, truth):
            each.put(video(f"v{i}", 1000), [part])
            if i == 20:
                each.delete(["v1", "v2", "v3"])
            if i % 3 == 2:
                each.refresh()
    assert recall(store, truth, 10) >= 0.95
    from footage.stores.lance_table import _described, lance

    dataset = lance.dataset(str(tmp_path / "space-image.lance"))
    assert dataset.count_rows() - _described(dataset).num_rows_indexed < 2_000 and dataset.count_rows() == 27_000
    assert len(_described(dataset).segments) <= 5


def test_a_thousand_small_videos_leave_few_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from datetime import timedelta

    monkeypatch.setattr("footage.stores.lance_table._KEEP_VERSIONS", timedelta(milliseconds=1))
    store = open_store(tmp_path)
    store.create_space(TEXT)
    for i in range(200):
        store.add([rows(f"v{i}", 3, TEXT)])
        store.commit([video(f"v{i}", 3)])
    files = sum(1 for path in tmp_path.rglob("*") if path.is_file())
    assert files < 700  # the versions of the last 64 commits
    store.refresh()
    files = sum(1 for path in tmp_path.rglob("*") if path.is_file())
    assert files < 30
    assert len(store.videos()) == 200 and len(store.search("text", rows("q", 1, TEXT).vectors, 1000)[0]) == 600


@pytest.mark.parametrize("name", ["with space", "a%20b", "hash#tag", "what?", "日本語 ü", "it's", "a&b=c", "file:x"])
def test_any_path_will_do(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.name == "nt" and set(name) & set('?:"'):
        pytest.skip("not a file name on Windows")
    for uri in (tmp_path / name, Path("relative") / name):
        monkeypatch.chdir(tmp_path)
        store = open_store(uri)
        fill(store, 2)
        assert (tmp_path / uri / "videos.lance").is_dir()
        store = open_store(str(uri))
        store.delete(["v0001"])
        store.refresh()
        assert len(store.search("image", rows("q", 1).vectors, 100)[0]) == 10
    assert {p.name for p in tmp_path.iterdir()} <= {name, "relative"}


def test_opening_writes_nothing(tmp_path: Path) -> None:
    store = open_store(tmp_path / "none")
    assert store.spaces() == [] and store.videos() == [] and store.get("x") is None
    store.refresh()
    store.delete(["x"])
    assert not (tmp_path / "none").exists()


def test_a_file_where_the_directory_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("hello")
    with pytest.raises(StoreError, match="not a directory") as caught:
        open_store(tmp_path / "file")
    assert caught.value.hint
    with pytest.raises(StoreError):
        fill(open_store(tmp_path / "file" / "below"), 1)


@pytest.mark.parametrize("table", ["videos.lance", "space-image.lance"])
@pytest.mark.parametrize("damage", ["file", "cut", "zeros", "empty", "noise", "no manifest"])
def test_a_damaged_table_is_told(tmp_path: Path, table: str, damage: str) -> None:
    fill(open_store(tmp_path), 3)
    manifests = list((tmp_path / table / "_versions").glob("*.manifest"))
    if damage == "file":
        shutil.rmtree(tmp_path / table)
        (tmp_path / table).write_text("not a table")
    for manifest in manifests if damage != "file" else []:
        size = manifest.stat().st_size
        noise = np.random.default_rng(0).bytes(size)
        new = {"cut": manifest.read_bytes()[: size // 2], "zeros": bytes(size), "empty": b"", "noise": noise}
        if damage == "no manifest":
            manifest.unlink()
        else:
            manifest.write_bytes(new[damage])
    with pytest.raises(StoreError) as caught:
        open_store(tmp_path).search("image", rows("q", 1).vectors, 5)
    assert caught.value.hint and str(tmp_path) in caught.value.message


@pytest.mark.parametrize("damage", ["cut", "noise", "gone"])
def test_damaged_data_is_told(tmp_path: Path, damage: str) -> None:
    fill(open_store(tmp_path), 3)
    for file in (tmp_path / "space-image.lance" / "data").iterdir():
        size = file.stat().st_size
        if damage == "gone":
            file.unlink()
        else:
            file.write_bytes(file.read_bytes()[: size // 2] if damage == "cut" else bytes(size))
    store = open_store(tmp_path)
    assert len(store.videos()) == 3
    for use in (
        lambda: store.search("image", rows("q", 1).vectors, 5),
        lambda: store.vectors("image", "v0001"),
        lambda: store.sample_vectors("image", 5),
        lambda: store.counts("image"),
        store.sweep,
    ):
        with pytest.raises(StoreError) as caught:
            use()
        assert caught.value.hint


def test_a_directory_left_by_a_crash_in_create(tmp_path: Path) -> None:
    (tmp_path / "videos.lance" / "_versions").mkdir(parents=True)
    (tmp_path / "space-image.lance").mkdir()
    store = open_store(tmp_path)
    assert store.spaces() == [] and store.videos() == []
    fill(store, 1)
    assert len(open_store(tmp_path).videos()) == 1


def test_a_table_of_something_else(tmp_path: Path) -> None:
    import lance
    import pyarrow

    lance.write_dataset(pyarrow.table({"a": [1]}), str(tmp_path / "space-x.lance"))
    with pytest.raises(StoreError, match="not a library"):
        open_store(tmp_path)


def test_another_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("footage.stores.lance_table.FORMAT", 99)
    fill(open_store(tmp_path), 1)
    monkeypatch.undo()
    with pytest.raises(SpaceMismatch, match="format 99"):
        open_store(tmp_path)


def run_python(code: str, *args: object, unprivileged: bool = False) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *map(str, args)]
    root = str(Path(__file__).parents[1])
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([root, str(Path(__file__).parent)])}
    if unprivileged and os.geteuid() == 0:  # root may write everywhere: give that power up
        code = (
            "import ctypes, sys\nlibc = ctypes.CDLL(None)\n"
            "for capability in (1, 2):\n    assert libc.prctl(24, capability, 0, 0, 0) == 0\n"
            "import os\nos.execv(sys.executable, [sys.executable, '-c', *sys.argv[1:]])"
        )
        command = [sys.executable, "-c", code, *command[2:]]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.skipif(sys.platform != "linux", reason="how rights are given up differs")
def test_a_read_only_directory_is_searched_and_not_written(tmp_path: Path) -> None:
    fill(open_store(tmp_path / "store"), 3)
    code = """
import sys
from test_stores import *
store = open_store(sys.argv[1])
assert len(store.search("image", rows("q", 1).vectors, 100)[0]) == 30 and len(store.videos()) == 3
for write in (
    lambda: store.put(video("new"), [rows("new")]),
    lambda: store.create_space(TEXT),
    lambda: store.delete(["v0001"]),
    lambda: store.commit([video("v0001", warning="changed")]),
):
    try:
        write()
    except StoreError as error:
        assert "cannot be read or written" in error.message and error.hint, error.message
    else:
        raise SystemExit("it was written")
"""
    folders = [tmp_path / "store", *(p for p in (tmp_path / "store").rglob("*") if p.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    try:
        done = run_python(code, tmp_path / "store", unprivileged=True)
    finally:
        for folder in folders:
            folder.chmod(0o755)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.skipif(sys.platform == "win32", reason="a limit that Windows does not know")
def test_a_full_disk_loses_nothing_that_was_committed(tmp_path: Path) -> None:
    fill(open_store(tmp_path), 3)
    code = """
import resource, signal, sys
from test_stores import *
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = open_store(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    store.put(video("big", 5000), [rows("big", 5000)])
except StoreError as error:
    assert "no space left" in error.message and error.hint, error.message
else:
    raise SystemExit("it was written")
assert len(store.search("image", rows("q", 1).vectors, 100)[0]) == 30
"""
    done = run_python(code, tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    store = open_store(tmp_path)
    assert store.sweep() == 0 and len(store.videos()) == 3
    store.put(video("big", 500), [rows("big", 500)])
    assert store.counts("image")["big"] == 500


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("kind", ["lance", "milvus"])
def test_a_forked_child_is_told_instead_of_hanging(tmp_path: Path, kind: str) -> None:
    pytest.importorskip("lance" if kind == "lance" else "milvus_lite")
    code = """
import os, sys
from test_stores import *
store = open_store(sys.argv[1])
fill(store, 1)
child = os.fork()
if child == 0:
    try:
        store.videos()
    except StoreError as error:
        os._exit(0 if "another process" in error.message else 1)
    os._exit(2)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""
    done = run_python(code, f"{kind}:{tmp_path}")
    assert done.returncode == 0, done.stderr[-2000:]


def test_two_writers_lose_nothing(tmp_path: Path) -> None:
    """A lock above the store keeps them apart; if it fails, no committed video may be lost all the same."""
    fill(open_store(tmp_path), 1)
    code = """
import sys
from test_stores import *
store = open_store(sys.argv[1])
for i in range(15):
    name = sys.argv[2] + str(i)
    for attempt in range(20):
        try:
            store.put(video(name), [rows(name)])
            store.refresh() if i % 5 == 4 else None
            break
        except StoreError as error:
            assert error.retry, error.message
"""
    root = Path(__file__).parents[1]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(root / "tests")])}
    command = [sys.executable, "-c", code, str(tmp_path)]
    running = [subprocess.Popen([*command, name], env=env, stderr=subprocess.PIPE, text=True) for name in ("a", "b")]
    for process in running:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors[-2000:]
    store = open_store(tmp_path)
    names = {f"{who}{i}" for who in "ab" for i in range(15)} | {"v0000"}
    assert {v.id for v in store.videos()} == names
    assert all(len(store.vectors("image", name)) == 10 for name in names)


def test_opening_and_the_first_search_are_quick(tmp_path: Path) -> None:
    fill(open_store(tmp_path), 20)

    def seconds() -> float:
        started = time.perf_counter()
        open_store(tmp_path).search("image", rows("q", 1).vectors, 5)
        return time.perf_counter() - started

    assert min(seconds() for _ in range(5)) < 2.0  # of several: a machine may halt


def test_errors_are_ours() -> None:
    assert issubclass(StoreError, FootageError)
    with pytest.raises(FootageError):
        open_store("memory:").search("none", np.zeros((1, 2), np.float32), 1)
