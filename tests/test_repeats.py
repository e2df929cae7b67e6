"""What a library has twice is shown once: after it was compared with itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest

from footage import Library
from footage.search.repeats import Repeats, Stretch, Twin, read_repeats

if TYPE_CHECKING:
    from footage.types import UInt8


def scenes(*numbers: int, size: tuple[int, int] = (320, 240), seconds: float = 4.0) -> list[UInt8]:
    """Slow pans over photographs at 10 pictures a second, each chosen by its number."""
    from skimage import data

    photos = [data.astronaut(), data.coffee(), data.rocket(), data.chelsea(), data.retina(), data.hubble_deep_field()]
    out: list[UInt8] = []
    for number in numbers:
        photo = np.asarray(photos[number])
        for n in range(round(seconds * 10)):
            x = 10 + 2 * n
            out.append(np.ascontiguousarray(photo[20 : 20 + size[1], x : x + size[0]]))
    return out


def film(path: Path, pictures: list[UInt8], *, codec: str = "libx264", rate: int = 300_000) -> Path:
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=10)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt, stream.bit_rate = "yuv420p", rate
        for picture in pictures:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        out.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One film, its re-encoded copy, an excerpt of it, and another film; compared with each other."""
    root = tmp_path_factory.mktemp("repeats")
    films = root / "films"
    films.mkdir()
    film(films / "whole.mp4", scenes(0, 1, 2), rate=900_000)
    film(films / "small.avi", scenes(0, 1, 2), codec="mpeg4", rate=300_000)
    film(films / "part.mp4", scenes(1))
    film(films / "other.mp4", scenes(3, 5))
    with Library.open(root / "lib") as lib:
        lib.index(films, model="starter")
    return root


def names(lib: Library, image: UInt8, *, collapse: bool = True) -> list[tuple[str, list[tuple[str, int]]]]:
    found = lib.search(image=image, k=10, per_video=1, collapse=collapse)
    strong = [m for m in found if m.strength >= 0.5]
    return [(Path(m.video.path).name, [(Path(v.path).name, round(at)) for v, at in m.also]) for m in strong]


def test_copies_collapse_once_they_are_known(place: Path) -> None:
    coffee = scenes(1)[20]
    with Library.open(place / "lib") as lib:
        before = names(lib, coffee)
        assert {name for name, _ in before} == {"whole.mp4", "small.avi", "part.mp4"}
        assert all(not also for _, also in before)
        inside, groups = lib.copies_within()
        assert len(groups) == 1 and len(inside.matches) >= 2
        ((name, also),) = names(lib, coffee)
        where = dict(also) | {name: 2 if name == "part.mp4" else 6}
        assert where == {"whole.mp4": 6, "small.avi": 6, "part.mp4": 2}
        every = names(lib, coffee, collapse=False)
        assert {name for name, _ in every} == {"whole.mp4", "small.avi", "part.mp4"}
        assert all(len(also) == 2 for _, also in every)
        (moment,) = lib.search(image=coffee, k=1)
        assert {each["path"] for each in moment.as_dict()["also"]} == {v.path for v, _ in moment.also}
    with Library.open(place / "lib") as again:  # another process knows it too
        assert len(names(again, coffee)) == 1


def test_pages_go_on_where_they_were(place: Path) -> None:
    with Library.open(place / "lib") as lib:
        lib.copies_within()
        query = scenes(0)[5]
        whole = [(m.video.id, m.start) for m in lib.search(image=query, k=6)]
        pages = [(m.video.id, m.start) for n in range(3) for m in lib.search(image=query, k=2, offset=2 * n)]
        assert pages == whole and len(set(whole)) == len(whole)


def test_a_removed_copy_is_told_no_more(tmp_path: Path, place: Path) -> None:
    with Library.open(tmp_path / "lib") as lib:
        lib.index(place / "films", model="starter")
        lib.copies_within()
        lib.remove(next(v.id for v in lib.videos() if v.path.endswith("small.avi")))
        ((_, also),) = names(lib, scenes(1)[20])
        assert len(also) == 1 and also[0][0] in ("part.mp4", "whole.mp4")


@pytest.mark.parametrize("text", ["", "{", '{"twins": 3}', '{"twins": {"a": [{"start": 1}]}, "shared": []}', "[]"])
def test_a_broken_file_is_no_knowledge(tmp_path: Path, text: str) -> None:
    (tmp_path / "repeats.json").write_text(text)
    assert not read_repeats(tmp_path / "repeats.json")
    assert not read_repeats(tmp_path / "none.json")


def test_it_is_kept_as_it_was(tmp_path: Path) -> None:
    made = Repeats({"a": (Twin(1.0, 3.0, "b", 5.0, 2.0),)}, ((Stretch("a", 0.0, 1.0), Stretch("c", 7.0, 8.0)),))
    (tmp_path / "r.json").write_text(json.dumps(made.as_dict()))
    assert read_repeats(tmp_path / "r.json") == made
    assert made.also("a", 2.0) == [("b", 7.0)]
    assert made.also("a", 0.5) == [("c", 7.5)]
    assert made.also("a", 3.0) == [] and made.also("b", 5.0) == []


def test_copies_of_copies_are_copies() -> None:
    """A spot is three times in a recording and once by itself: each of the four places has three others."""
    starts = (10.0, 50.0, 90.0)
    spot = tuple(Twin(0.0, 4.0, "recording", at) for at in starts)
    recording = tuple(Twin(at, at + 4.0, "spot", 0.0) for at in starts)
    made = Repeats({"spot": spot, "recording": recording})
    assert made.also("spot", 1.0) == [("recording", at + 1.0) for at in starts]
    assert made.also("recording", 51.0) == [("recording", 11.0), ("recording", 91.0), ("spot", 1.0)]
    assert made.also("recording", 30.0) == []
    ranges = made.elsewhere("recording", (51.0, 56.0))
    assert sorted(ranges) == [("recording", (11.0, 14.0)), ("recording", (91.0, 94.0)), ("spot", (1.0, 4.0))]


def test_shared_material_is_shown_once_and_further_back(tmp_path: Path) -> None:
    intro = scenes(4)  # of three otherwise different films
    for number in range(3):
        film(tmp_path / f"{number}.mp4", [*intro, *scenes(number)])
    with Library.open(tmp_path / "lib") as lib:
        lib.index([tmp_path / f"{n}.mp4" for n in range(3)], model="starter")
        alone = lib.search(image=intro[20], k=10, per_video=1)
        assert [m.strength >= 0.5 for m in alone] == [True, True, True]
        inside, groups = lib.copies_within()
        assert len(inside.shared) == 1 and not groups
        found = [m for m in lib.search(image=intro[20], k=10, per_video=1) if m.start < 3.5]
        assert len(found) == 1 and len(found[0].also) == 2
        assert found[0].score == pytest.approx(0.8 * alone[0].score, rel=0.01)
        everything = lib.search(image=intro[20], k=10, per_video=1, collapse=False)
        assert [m.score for m in everything[:3]] == pytest.approx([m.score for m in alone])


def test_an_intro_and_an_outro_both_step_back(tmp_path: Path) -> None:
    intro, outro = scenes(3), scenes(4)
    for number in (0, 1, 2, 5):
        film(tmp_path / f"{number}.mp4", [*intro, *scenes(number, seconds=9.0), *outro])
    with Library.open(tmp_path / "lib") as lib:
        lib.index(sorted(tmp_path.glob("*.mp4")), model="starter")
        alone = [lib.search(image=pictures[20], k=1)[0].score for pictures in (intro, outro)]
        inside, groups = lib.copies_within()
        assert not groups and not inside.matches and len(inside.shared) == 2
        for pictures, start, score, piece in zip((intro, outro), (0, 13), alone, inside.shared, strict=True):
            assert len(piece) == 4
            assert all((s.start, s.end) == pytest.approx((start, start + 4), abs=0.5) for s in piece)
            (shown,) = [m for m in lib.search(image=pictures[20], k=10) if m.strength >= 0.5]
            assert len(shown.also) == 3 and shown.score == pytest.approx(0.8 * score, rel=0.01)
