"""A library against itself: what is shared, what of a match is verified, and at what cost; mostly on vectors."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from clips import library
from films import FPS, film, shot, still, write
from media_samples import Picture
from PIL import Image

from footage.copies import join
from footage.copies.align import Segment, segments
from footage.copies.geometry import PLAIN, into
from footage.copies.laid import along, around, joined
from footage.copies.pieces import Piece
from footage.copies.trimmed import Trimmer
from footage.copies.within import Inside, Within
from footage.encoders import LAYOUT
from footage.search.repeats import Repeats
from footage.stores.memory import MemoryStore
from footage.types import Embeddings, MediaFile, Space, Video

NAME, DIM = LAYOUT.spaces[0].name, LAYOUT.spaces[0].dim
EDGES = 8  # seconds of an intro, and of an outro


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def put(store: MemoryStore, number: int, rows: np.ndarray) -> None:
    """A video of so many seconds, a sample each."""
    i, at = f"{number:064x}", np.arange(float(len(rows))) + 0.5
    file = MediaFile(f"/videos/{number:03d}.mp4", 1000, 0)
    video = Video(i, (file,), float(len(rows)), 320, 180, 25.0, "h264", "mp4", 0.0, len(rows), "s")
    store.put(video, [Embeddings(NAME, i, at - 0.5, at + 0.5, at, unit(rows))])


def compared(plan: list[str], samples: int = 60) -> Inside:
    """Of a library of unlike videos with an intro ('i'), an outro ('o'), or both."""
    rng = np.random.default_rng(0)
    intro, outro = np.abs(rng.standard_normal((2, EDGES, DIM)))
    store = MemoryStore()
    store.create_space(Space(NAME, DIM))
    for number, has in enumerate(plan):
        rows = np.abs(rng.standard_normal((samples, DIM)))
        if "i" in has:
            rows[:EDGES] = intro + 0.02 * rng.standard_normal((EDGES, DIM))
        if "o" in has:
            rows[-EDGES:] = outro + 0.02 * rng.standard_normal((EDGES, DIM))
        put(store, number, rows)
    return within(store).find()


def within(store: MemoryStore, *, on_progress: Callable[[str, int, int], None] = lambda *_: None) -> Within:
    """By the vectors alone: there are no pictures."""
    return Within(store, {"copy": {NAME: 1.0}}, None, verify=False, on_progress=on_progress)  # type: ignore[arg-type]


def told(piece: Piece) -> dict[int, tuple[int, int]]:
    return {int(s.video.id, 16): (round(s.start), round(s.end)) for s in piece}


@pytest.mark.parametrize(
    ("plan", "wanted"),
    [
        (["io"] * 4, [dict.fromkeys(range(4), (0, 8)), dict.fromkeys(range(4), (52, 60))]),
        (
            ["io", "i", "i", "i", "o", "o", "o"],
            [dict.fromkeys(range(4), (0, 8)), dict.fromkeys((0, 4, 5, 6), (52, 60))],
        ),
    ],
    ids=["the same videos", "one video has both"],
)
def test_an_intro_and_an_outro_are_two_pieces(plan: list[str], wanted: list[dict[int, tuple[int, int]]]) -> None:
    inside = compared(plan)
    assert [told(piece) for piece in inside.shared] == wanted
    assert not inside.matches
    repeats = Repeats.of(inside.matches, [[(s.video.id, s.start, s.end) for s in p] for p in inside.shared])
    for piece in wanted:
        for number, (start, _) in piece.items():
            also = repeats.also(f"{number:064x}", start + 3.0)
            assert {int(i, 16) for i, _ in also} == set(piece) - {number}
            assert [at for _, at in also] == pytest.approx([start + 3.0] * len(also), abs=0.6)


def test_three_videos_with_one_outro_make_it_common() -> None:
    inside = compared(["o", "o", "o"])
    assert [told(piece) for piece in inside.shared] == [dict.fromkeys(range(3), (52, 60))]
    assert not inside.matches


def test_two_videos_with_one_outro_are_copies_there() -> None:
    inside = compared(["o", "o", "", ""])
    assert not inside.shared and len(inside.matches) == 1


@pytest.mark.parametrize("more", [0, 5])
def test_a_piece_of_a_film_that_is_there_twice_is_not_common(more: int) -> None:
    """Three videos show it, but two of them are one film, though one of these has some seconds more at both ends."""
    rng = np.random.default_rng(1)
    rows = np.abs(rng.standard_normal((2, 60, DIM)))
    rows[1, 40:50] = rows[0, 25:35]
    ends = np.abs(rng.standard_normal((2, more, DIM)))
    copy = np.concatenate([ends[0], rows[0] + 0.02 * rng.standard_normal((60, DIM)), ends[1]])
    store = MemoryStore()
    store.create_space(Space(NAME, DIM))
    for number, each in enumerate((rows[0], copy, rows[1])):
        put(store, number, each)
    inside = within(store).find()
    assert not inside.shared
    pairs = {(int(m.query, 16), int(m.video.id, 16)) for m in inside.matches}
    assert pairs == {(0, 1), (0, 2), (1, 2)}


# ------------------------------------------------------------------------------------------------ what is long


def test_a_piece_deep_within_two_long_videos() -> None:
    rng = np.random.default_rng(2)
    one, other = np.abs(rng.standard_normal((2, 600, DIM)))
    other[420:440] = one[310:330] + 0.02 * rng.standard_normal((20, DIM))
    store = MemoryStore()
    store.create_space(Space(NAME, DIM))
    put(store, 0, one)
    put(store, 1, other)
    (match,) = within(store).find().matches
    found = (match.query_start, match.query_end, match.start, match.end)
    assert found == pytest.approx((310, 330, 420, 440), abs=1.5)


@pytest.mark.parametrize(("behind", "speed"), [(0.0, 1.0), (37.0, 1.0), (33.3, 1.04)])
def test_two_films_of_two_hours_are_laid_along_each_other_in_parts(behind: float, speed: float) -> None:
    """All pairs of samples of both would be 207 MB, and several such tables are needed."""
    rng = np.random.default_rng(3)
    ends = np.cumsum(rng.exponential(4.0, 5400))  # of shots
    scenes = rng.standard_normal((len(ends), 64))

    def shown(times: np.ndarray) -> np.ndarray:
        return unit(scenes[np.searchsorted(ends, times)] + 0.3 * rng.standard_normal((len(times), 64)))

    times, there = np.arange(7200.0), np.arange(float((7200 - behind) // speed))
    one, other = shown(times), shown(behind + speed * there)
    same = np.arange(behind, 7200, 7.0)
    tracemalloc.start()
    parts = around(same, (same - behind) / speed, times, there)
    found = joined([along(one[a] @ other[b].T, times[a], there[b]) for a, b in parts])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64e6
    segment, level = max(found, key=lambda each: each[0].seconds)
    assert (segment.query_start, segment.query_end) == pytest.approx((behind, 7200), abs=3)
    assert (segment.start, segment.end) == pytest.approx((0, (7200 - behind) / speed), abs=3)
    assert level > 0.7


def test_a_cut_within_a_part_stays_a_cut() -> None:
    one, two = Segment(0, 100, 1.0, 0.0, 50.0), Segment(100, 200, 1.0, 1.0, 50.0)
    assert len(joined([[(one, 0.9), (two, 0.8)]])) == 2
    ((both, level),) = joined([[(one, 0.9)], [(two, 0.8)]])
    assert (both.query_start, both.query_end, both.start, both.end, level) == pytest.approx((0, 200, 0, 201, 0.9))
    inner = replace(one, query_start=90)
    assert joined([[(one, 0.9)], [(inner, 0.8)]]) == [(one, 0.9)]
    assert len(joined([[(one, 0.9)], [(replace(two, shift=2.0), 0.8)]])) == 2
    assert len(joined([[(one, 0.9)], [(replace(two, query_start=111.0, shift=0.0), 0.8)]])) == 2


def moving(*seeds: int) -> list[Picture]:
    return [picture for seed in seeds for picture in film(seed, 0, 6)]


def small(picture: Picture) -> Picture:
    return np.asarray(Image.fromarray(picture).resize((128, 72), Image.Resampling.BOX))


@pytest.mark.parametrize("stands", ["the middle", "the ends"])
def test_a_long_copy_is_verified_where_something_moves(tmp_path: Path, stands: str) -> None:
    """Seconds 2.4 to 89.8 of one are 5.4 to 92.8 of the other; 45 s of it are a still, or 35 s at each end."""
    if stands == "the middle":
        pictures = [*moving(1, 2, 3, 4), *still(shot(9, 1.0), 45.0), *moving(5, 6, 7, 8)]
    else:
        pictures = [*still(shot(9, 1.0), 35.0), *moving(1, 2, 3, 4), *still(shot(10, 1.0), 34.0)]
    write(tmp_path / "films" / "one.mp4", pictures)
    part = pictures[round(2.4 * FPS) : round(89.8 * FPS)]
    write(tmp_path / "films" / "other.mp4", chain(film(40, 0, 5.4), part), small)
    with library(tmp_path / "library") as lib:
        lib.index(tmp_path / "films")
        (match,) = lib.copies_within()[0].matches
    one, other = (match.query_start, match.query_end), (match.start, match.end)
    if Path(match.video.path).stem == "one":
        one, other = other, one
    slack = 0.15 if stands == "the middle" else 3.0  # a still says nothing of when it began
    assert (*one, *other) == pytest.approx((2.4, 89.8, 5.4, 92.8), abs=slack)


# ------------------------------------------------------------------------------------------------ bars, and again


def pillars(picture: Picture) -> Picture:
    """As wide as it is, between bars that take a quarter of the width."""
    part = np.asarray(Image.fromarray(picture).resize((144, 108), Image.Resampling.BOX))
    return np.pad(part, ((0, 0), (24, 24), (0, 0)))


def between(picture: Picture) -> Picture:
    """Between bars above and below."""
    part = np.asarray(Image.fromarray(picture).resize((192, 80), Image.Resampling.BOX))
    return np.pad(part, ((14, 14), (0, 0), (0, 0)))


BARS: dict[str, Callable[[Picture], Picture]] = {
    "plain": lambda p: p,
    "pillars": pillars,
    "between": between,
    "mirrored between bars": lambda p: pillars(p)[:, ::-1],
}


@pytest.mark.parametrize("bars", BARS)
def test_each_place_of_a_video_in_another_is_found_though_it_has_bars_there(tmp_path: Path, bars: str) -> None:
    """Seconds 0 to 4 of one are seconds 6 to 10 and 17 to 21 of the other, which shows them with bars."""
    change = BARS[bars]
    write(tmp_path / "films" / "one.mp4", film(1, 0, 4))
    shown = chain(film(2, 0, 6), map(change, film(1, 0, 4)), film(3, 0, 7), map(change, film(1, 0, 4)), film(4, 0, 3))
    write(tmp_path / "films" / "two.mp4", shown)
    for seed in range(11, 16):
        write(tmp_path / "films" / f"{seed}.mp4", film(seed))
    with library(tmp_path / "library") as lib:
        lib.index(tmp_path / "films")
        inside, groups = lib.copies_within()
        ids = {Path(v.path).stem: v.id for v in lib.videos()}
        seen = lib.search(image=still_of(tmp_path, 1, 2.0), k=8)
    found = []
    for m in inside.matches:
        sides = {m.query: (m.query_start, m.query_end), m.video.id: (m.start, m.end)}
        assert set(sides) == {ids["one"], ids["two"]} and m.mirrored == bars.startswith("mirrored")
        found.append((*sides[ids["one"]], *sides[ids["two"]]))
    assert np.array(sorted(found, key=lambda f: f[2])) == pytest.approx(
        np.array([(0, 4, 6, 10), (0, 4, 17, 21)]), abs=0.3
    )
    assert [len(g.copies) for g in groups] == [2]
    places = [(ids["one"], 2.0), (ids["two"], 8.0), (ids["two"], 19.0)]
    shown = [[p for p in places if m.video.id == p[0] and m.start <= p[1] < m.end] for m in seen]
    assert sum(map(len, shown)) == 1, "what is a copy of a better answer is no answer of its own"
    (also,) = [[(v.id, at) for v, at in m.also] for m, own in zip(seen, shown, strict=True) if own]
    assert len(also) == 2


def still_of(folder: Path, seed: int, time: float) -> Path:
    path = folder / "still.png"
    Image.fromarray(shot(seed, time)).save(path)
    return path


def test_bars_are_seen_by_samples_that_leave_room_for_them(tmp_path: Path) -> None:
    """Without key frames nothing is said; a video without bars has none."""
    write(tmp_path / "films" / "mixed.mp4", chain(film(1, 0, 4), map(pillars, film(2, 0, 4))))
    write(tmp_path / "films" / "plain.mp4", film(2, 0, 4))
    with library(tmp_path / "library") as lib:
        lib.index(tmp_path / "films")
        mixed, plain = sorted(lib.videos(), key=lambda v: v.path)
        store = lib._reads()
        rows, whole = store.vectors(NAME, mixed.id), store.vectors(NAME, plain.id)
        trimmed = Trimmer(lib.frames).of(rows)
        assert trimmed is not None and Trimmer(lib.frames).of(whole) is None and Trimmer(None).of(rows) is None
        assert (rows.at[trimmed.place] >= 3.9).all() and len(trimmed.place) == int((rows.at >= 3.9).sum())
        assert trimmed.boxes == pytest.approx(np.tile([1 / 8, 0, 7 / 8, 1], (len(trimmed.place), 1)), abs=0.03)
        alike = (trimmed.vectors * whole.vectors[: len(trimmed.vectors)]).sum(axis=1)
        assert (
            alike.min() > 0.9 > (rows.vectors[trimmed.place] * whole.vectors[: len(trimmed.vectors)]).sum(axis=1).max()
        )
        assert trimmed.warp(0, 3) == PLAIN and trimmed.warp(4, 8).near(into((1 / 8, 0, 7 / 8, 1)))
        lib.frames.delete([mixed.id])
        assert Trimmer(lib.frames).of(rows) is None


def test_a_black_video_is_no_copy_of_anything(tmp_path: Path) -> None:
    black = np.zeros((108, 192, 3), np.uint8)
    for name in ("a", "b", "c"):
        write(tmp_path / "films" / f"{name}.mp4", still(black, 3.0 + ord(name) % 3))
    write(tmp_path / "films" / "film.mp4", film(1, 0, 4))
    with library(tmp_path / "library") as lib:
        lib.index(tmp_path / "films")
        inside, groups = lib.copies_within()
    assert (inside.matches, inside.shared, groups) == ((), (), [])


def test_a_moment_in_a_film_of_two_hours() -> None:
    """A tenth of a second apart, as the samples of a short video are laid, a film has 72,000 places for it."""
    rng = np.random.default_rng(4)
    film_rows, spot = np.abs(rng.standard_normal((7200, DIM))), np.abs(rng.standard_normal((2, DIM)))
    film_rows[4000:4002] = spot + 0.02 * rng.standard_normal((2, DIM))
    film_rows[6000:6002] = spot + 0.02 * rng.standard_normal((2, DIM))
    store = MemoryStore()
    store.create_space(Space(NAME, DIM))
    put(store, 0, film_rows)
    put(store, 1, spot)
    tracemalloc.start()
    inside = within(store).find()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 300e6
    found = sorted(m.query_start if m.query == f"{0:064x}" else m.start for m in inside.matches)
    assert found == pytest.approx([4000, 6000], abs=1.0)


def test_lines_of_a_long_query_beside_a_short_video_fit_into_memory() -> None:
    times, other = np.arange(0, 7200.0), np.arange(0, 0.3, 0.1)
    alike = np.random.default_rng(5).uniform(-0.2, 0.2, (len(times), len(other))).astype(np.float32)
    alike[3000] = 1.0
    tracemalloc.start()
    segments(alike, times, other)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200e6


def test_samples_on_one_line_are_found_however_many_look_like_each() -> None:
    """As those of a still scene that comes ten times, among what is alike by chance."""
    rng = np.random.default_rng(6)
    still_scene = np.array([(i, 300 * k + j) for i in range(8) for k in range(10) for j in range(8)])
    chance = np.column_stack([rng.integers(100, 5000, 200), rng.integers(4000, 9000, 200)])
    line = np.array([(50 + n, 7000 + 2 * n) for n in range(3)])
    places = np.concatenate([still_scene, chance, line])[rng.permutation(len(still_scene) + 203)]
    kept = {tuple(pair) for pair in join.in_line(places, 6000, 9000).tolist()}
    slow = set[tuple[int, int]]()
    every = places.tolist()
    for i, j in every:
        for k, m in every:
            a, b = k - i, m - j
            if 1 <= a <= 12 and 1 <= b <= 12 and a <= 2 * b + 1 and b <= 2 * a + 1:
                slow |= {(i, j), (k, m)}
    assert kept == slow and set(map(tuple, line.tolist())) <= kept and len(kept & set(map(tuple, chance.tolist()))) < 20
