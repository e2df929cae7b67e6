"""Candidates of a copy search: which videos are looked at, by what the index says."""

from __future__ import annotations

import numpy as np
import pytest

from footage.copies.candidates import Asked, likeliest, nearest_videos
from footage.copies.geometry import PLAIN
from footage.copies.queries import View
from footage.stores import open_store
from footage.types import Embeddings, MediaFile, Space, Video


@pytest.mark.parametrize(("large", "deep"), [(0, 40), (10**9, 40), (0, 60)], ids=["large", "many", "large and few"])
def test_a_video_that_shows_the_pictures_in_their_order_comes_first(
    large: int, deep: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a library too large for all of its videos to be read; the rival has the same pictures all over it."""
    monkeypatch.setattr("footage.copies.candidates._LARGE", large)
    monkeypatch.setattr("footage.copies.candidates._DEEP", deep)
    rng = np.random.default_rng(8)
    made = [rng.standard_normal((90, 64)) for _ in range(60)]
    clip = rng.standard_normal((20, 64))
    made[17][30:50] = clip
    made[41][rng.permutation(90)[:20]] = clip
    videos: dict[str, Video] = {}
    store = open_store("memory:")
    store.create_space(Space("s", 64))
    at = np.arange(90.0)
    for number, rows in enumerate(made):
        file = MediaFile(f"/films/{number}.mp4", 1, 1)
        video = Video(f"{number:032x}", (file,), 90.0, 64, 64, 25.0, "h264", "mp4", 0.0, 90, "1s")
        unit = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
        store.put(video, [Embeddings("s", video.id, at, at + 1, at + 0.5, unit)])
        videos[video.id] = video
    view = View(PLAIN, (0, 0, 1, 1), 0, mirrored=False, usual=True)
    query = (clip + 0.2 * rng.standard_normal(clip.shape)).astype(np.float32)
    asked = Asked.of("s", query, list(range(20)), [view] * 20, np.arange(20.0), exact=True)
    asked.judge(store)
    if deep < len(videos):
        assert list(nearest_videos(asked, store, videos))[:2] == [f"{17:032x}", f"{41:032x}"]
    first, second = likeliest([asked], store, videos)[:2]
    assert {first.video.id, second.video.id} == {f"{17:032x}", f"{41:032x}"}
    best = next(c for c in (first, second) if c.video.id == f"{17:032x}")
    assert all(pair.at - pair.picture == pytest.approx(30.5) for pair in best.pairs)
