"""Candidates of a copy search: which videos are looked at, by what the index says."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from footage.copies.candidates import Asked, likeliest, nearest_videos
from footage.copies.geometry import PLAIN
from footage.copies.queries import View
from footage.stores import Store, open_store
from footage.types import Embeddings, MediaFile, Space, Video


@pytest.mark.parametrize(("large", "deep"), [(0, 40), (10**9, 40), (0, 60)], ids=["large", "many", "large and few"])
def test_a_video_that_shows_the_pictures_in_their_order_comes_first(
    large: int, deep: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a library too large for all of its videos to be read; the rival has the same pictures all over it."""
    monkeypatch.setattr("footage.copies.candidates._LARGE", large)
    monkeypatch.setattr("footage.copies.candidates._DEEP", deep)
    clip, made = planted()
    store, videos = stored(made)
    asked = asking(clip)
    asked.judge(store)
    if deep < len(videos):
        assert list(nearest_videos(asked, store, videos))[:2] == [f"{17:032x}", f"{41:032x}"]
    first, second = likeliest([asked], store, videos)[:2]
    assert {first.video.id, second.video.id} == {f"{17:032x}", f"{41:032x}"}
    best = next(c for c in (first, second) if c.video.id == f"{17:032x}")
    assert all(pair.at - pair.picture == pytest.approx(30.5) for pair in best.pairs)


def planted() -> tuple[NDArray[np.float64], list[NDArray[np.float64]]]:
    """Vectors of a clip, and those of sixty videos: one shows it, another has its pictures in no order."""
    rng = np.random.default_rng(8)
    made = [rng.standard_normal((90, 64)) for _ in range(60)]
    clip = rng.standard_normal((20, 64))
    made[17][30:50] = clip
    made[41][rng.permutation(90)[:20]] = clip
    return clip, made


def stored(made: Sequence[NDArray[np.float64]]) -> tuple[Store, dict[str, Video]]:
    videos: dict[str, Video] = {}
    store = open_store("memory:")
    store.create_space(Space("s", 64))
    for number, rows in enumerate(made):
        at = np.arange(float(len(rows)))
        file = MediaFile(f"/films/{number}.mp4", 1, 1)
        length = len(rows)
        video = Video(f"{number:032x}", (file,), float(length), 64, 64, 25.0, "h264", "mp4", 0.0, length, "1s")
        unit = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
        store.put(video, [Embeddings("s", video.id, at, at + 1, at + 0.5, unit)])
        videos[video.id] = video
    return store, videos


def asking(clip: NDArray[np.float64]) -> Asked:
    view = View(PLAIN, (0, 0, 1, 1), 0, mirrored=False, usual=True)
    query = (clip + 0.2 * np.random.default_rng(9).standard_normal(clip.shape)).astype(np.float32)
    pictures = list(range(len(clip)))
    return Asked.of("s", query, pictures, [view] * len(clip), np.arange(float(len(clip))), exact=True)


def test_long_videos_are_looked_for_where_they_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many samples as are read at a time lie in the first of them; what is asked for is in the last."""
    monkeypatch.setattr("footage.copies.candidates._ROWS", 900)
    _, made = planted()
    store, videos = stored(made[:30])
    for number in (0, 13, 29):
        assert likeliest([asking(made[number][30:50])], store, videos)[0].video.id == f"{number:032x}"


def test_what_others_have_does_not_crowd_out_those_that_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("footage.copies.candidates._ROWS", 900)
    rng = np.random.default_rng(11)
    clip = rng.standard_normal((4, 64))
    made = [rng.standard_normal((30, 64)) for _ in range(180)]
    for rows in made[:120]:
        rows[10:14] = clip + 0.05 * rng.standard_normal(clip.shape)
    made[150][10:14] = clip + 0.3 * rng.standard_normal(clip.shape)
    store, videos = stored(made)
    some = {video_id: video for number, (video_id, video) in enumerate(videos.items()) if number >= 120}
    assert likeliest([asking(clip)], store, some)[0].video.id == f"{150:032x}"


def test_of_a_few_videos_more_places_are_compared() -> None:
    """All that they have may look like the query, so that the likeliest sample is often not the right one."""
    clip, made = planted()
    few, many = (likeliest([asking(clip)], *stored(part))[0] for part in (made[17:19], made))
    assert few.video.id == f"{0:032x}" and len(few.pairs) > 3 * len(many.pairs)
