"""A library against itself: what is shared, what of a match is verified, and at what cost; mostly on vectors."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from footage.copies.pieces import Piece
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
    i, at = f"{number:064x}", np.arange(len(rows)) + 0.5
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
