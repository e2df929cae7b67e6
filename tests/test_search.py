"""Queries against a small library of rendered clips whose every second is known."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clips import FPS, clip, encoder, library
from media_samples import render, scene
from PIL import Image

from footage import Part, Where
from footage.config import Settings
from footage.errors import MediaError, MediaNotFound, NotIndexed, QueryError
from footage.library import Library
from footage.search import Question, SearchSettings, parse_part, parse_time
from footage.types import Moment

FILMS = {f"film{n}.mp4": tuple(range(100 * n + 1, 100 * n + 7)) for n in range(1, 7)}  # six scenes of 2 s each
SMALL = 24  # clips of one scene


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("search")
    for number, (name, scenes) in enumerate(FILMS.items()):
        clip(folder / "films" / name, *scenes, seconds=2.0)
        recorded = datetime(2020 + number, 6, 15).timestamp()
        os.utime(folder / "films" / name, (recorded, recorded))
    for number in range(SMALL):
        clip(folder / "films" / "small" / f"{number:02}.mp4", 1000 + number)
    with library(folder / "library") as lib:
        lib.index(folder / "films")
    return folder


@pytest.fixture(scope="module")
def lib(root: Path) -> Iterator[Library]:
    with library(root / "library") as opened:
        yield opened


def picture(seed: int, shift: int = 7) -> Any:
    return scene(seed, 160, 120, shift=shift)


def name(moment: Moment) -> str:
    return Path(moment.video.path).name


def facts(moments: list[Moment]) -> list[dict[str, Any]]:
    return [m.as_dict() for m in moments]


# ---------------------------------------------------------------------------------------------------------- pictures


@pytest.mark.parametrize(("film", "number"), [(1, 0), (2, 1), (3, 3), (5, 4), (6, 5)])
def test_a_picture_finds_its_seconds(lib: Library, film: int, number: int) -> None:
    first = lib.search(image=picture(100 * film + 1 + number), k=5)[0]
    assert name(first) == f"film{film}.mp4"
    start, end = 2.0 * number, 2.0 * (number + 1)
    assert start <= first.at < end
    # from the cut, or from where the moving picture comes near to this one, to the next cut
    assert start - 0.01 <= first.start <= start + 1.01 and first.end == pytest.approx(end, abs=0.11)
    assert first.strength > 0.5


def test_a_mirrored_picture_is_found(lib: Library) -> None:
    first = lib.search(image=picture(303)[:, ::-1])[0]
    assert name(first) == "film3.mp4" and 4 <= first.at < 6


def test_a_picture_of_nothing_in_the_library_is_weaker_than_one_that_is_there(lib: Library) -> None:
    rng = np.random.default_rng(3)
    noise = rng.integers(0, 256, (120, 160, 3), dtype=np.uint8)
    assert lib.search(image=noise)[0].strength < lib.search(image=picture(202))[0].strength


def test_every_kind_of_picture_gives_the_same_answer(lib: Library, tmp_path: Path) -> None:
    array = picture(205)
    image = Image.fromarray(array)
    image.save(tmp_path / "q.png")
    out = io.BytesIO()
    image.save(out, "PNG")
    wanted = [(m.video.id, m.start, m.end, m.at, m.score) for m in lib.search(image=array)]
    assert wanted
    for kind in (tmp_path / "q.png", str(tmp_path / "q.png"), image, out.getvalue()):
        assert [(m.video.id, m.start, m.end, m.at, m.score) for m in lib.search(image=kind)] == wanted


@pytest.mark.parametrize("bad", ["missing.png", "text.png", "film.mp4", b"no picture", np.zeros((3, 3, 7), np.uint8)])
def test_what_is_no_picture(lib: Library, root: Path, tmp_path: Path, bad: Any) -> None:
    (tmp_path / "text.png").write_text("this is no picture")
    (tmp_path / "film.mp4").write_bytes((root / "films" / "film1.mp4").read_bytes())
    with pytest.raises(MediaError):
        lib.search(image=tmp_path / bad if isinstance(bad, str) else bad)


# ----------------------------------------------------------------------------------------------------------- moments


def test_neighbouring_samples_are_one_moment(tmp_path: Path) -> None:
    scenes = [(1, 2), (2, 6), *((seed, 1) for seed in range(3, 15))]  # most of the library looks otherwise
    pictures = [scene(seed, 160, 120) for seed, seconds in scenes for _ in range(seconds * FPS)]
    render(tmp_path / "film.mp4", pictures, fps=FPS)
    settings = Settings(near=0)  # keeps what is alike, so that the scene has six samples
    with Library.open(tmp_path / "lib", settings=settings, encoder=encoder()) as lib:
        (result,) = lib.index(tmp_path / "film.mp4")
        assert result.samples == 20
        first, *others = lib.search(image=scene(2, 160, 120), per_video=3)
    assert (first.start, first.end) == (2.0, 8.0)
    assert all(m.end <= first.start or m.start >= first.end for m in others)


def test_moments_of_a_video_do_not_overlap_and_hold_their_best_frame(lib: Library) -> None:
    for query in ({"image": picture(101)}, {"text": "a red car"}, {"image": picture(402), "text": "water"}):
        found = lib.search(**query, k=100, per_video=4)
        assert len(found) > 10
        spans: dict[str, list[tuple[float, float]]] = {}
        for m in found:
            assert 0 <= m.start <= m.at < m.end <= m.video.duration + 1e-6
            assert 0 <= m.strength <= 1
            for start, end in spans.setdefault(m.video.id, []):
                assert m.end <= start or m.start >= end
            spans[m.video.id].append((m.start, m.end))
        assert all(len(s) <= 4 for s in spans.values())


def test_per_video(lib: Library) -> None:
    found = lib.search(image=picture(101), k=30, per_video=1)
    assert len({m.video.id for m in found}) == len(found) == 30
    with pytest.raises(QueryError):
        lib.search(image=picture(101), per_video=0)


def test_best_first_and_the_same_every_time(lib: Library, root: Path) -> None:
    query: dict[str, Any] = {"text": "people on a street", "image": picture(503), "exclude": "night", "k": 50}
    first = lib.search(**query)
    assert [m.score for m in first] == sorted((m.score for m in first), reverse=True)
    with library(root / "library") as again:
        assert facts(again.search(**query)) == facts(first) == facts(lib.search(**query))


def test_evidence_of_every_channel(lib: Library) -> None:
    roles = lib._stamped().roles
    for m in lib.search("2:a cat", image=picture(101), exclude="a dog", k=5):
        channels = {(e.channel, e.space) for e in m.evidence}
        assert channels >= {("text", roles["text"]), ("image", roles["image"]), ("not", roles["text"])}
        assert all(-1.01 <= e.score <= 1.01 and 0 <= e.strength <= 1 for e in m.evidence)
        assert {e.query for e in m.evidence if e.channel in ("text", "not")} == {"a cat", "a dog"}


def test_the_dictionary_of_a_moment(lib: Library) -> None:
    (moment,) = lib.search("a cat", k=1)
    told = moment.as_dict()
    assert list(told) == ["video", "path", "start", "end", "at", "score", "strength", "evidence"]
    assert told["video"] == moment.video.id and told["path"] == moment.video.path
    assert set(told["evidence"][0]) == {"channel", "query", "space", "score", "strength", "at"}


# ------------------------------------------------------------------------------------------------------------- clips
# How vectors lay a clip along the videos; test_aligned.py has what copy search says beside them.


@pytest.mark.parametrize(("film", "first", "count"), [(1, 2, 2), (4, 0, 3), (6, 4, 2)])
def test_a_clip_finds_its_offset(lib: Library, tmp_path: Path, film: int, first: int, count: int) -> None:
    scenes = FILMS[f"film{film}.mp4"][first : first + count]
    found = lib.search(video=clip(tmp_path / "query.mp4", *scenes, seconds=2.0), k=3, align=False)[0]
    assert name(found) == f"film{film}.mp4"
    assert found.start == pytest.approx(2 * first, abs=1.0)
    assert found.end == pytest.approx(2 * (first + count), abs=1.0)


def test_the_order_of_a_clip_counts(lib: Library, tmp_path: Path) -> None:
    a, b = FILMS["film2.mp4"][2:4]
    forwards = lib.search(video=clip(tmp_path / "ab.mp4", a, b, seconds=2.0), k=1, align=False)[0]
    backwards = lib.search(video=clip(tmp_path / "ba.mp4", b, a, seconds=2.0), k=1, align=False)[0]
    assert forwards.score > backwards.score


def test_a_clip_longer_than_the_video_it_was_cut_from(lib: Library, tmp_path: Path) -> None:
    query = clip(tmp_path / "query.mp4", 7001, 1003, 7002, seconds=1.0)
    found = lib.search(video=query, k=3, align=False)[0]
    assert name(found) == "03.mp4" and found.start == 0 and found.end <= found.video.duration + 1e-6


@pytest.mark.parametrize("bad", ["missing.mp4", "text.mp4", "photo.mp4"])
def test_what_is_no_clip(lib: Library, tmp_path: Path, bad: str) -> None:
    (tmp_path / "text.mp4").write_text("this is no video")
    Image.fromarray(picture(1)).save(tmp_path / "photo.mp4", "PNG")
    with pytest.raises(MediaError):
        lib.search(video=tmp_path / bad)


# ------------------------------------------------------------------------------------------------- weights, negation


def test_weights_shift_the_order(lib: Library) -> None:
    a, b = Part("image", picture(101), 1.0), Part("image", picture(601), 1.0)

    def first(heavier: Part) -> str:
        parts = [Part(p.kind, p.value, 3.0 if p is heavier else 1.0) for p in (a, b)]
        return name(lib.search(parts=parts, k=1)[0])

    assert (first(a), first(b)) == ("film1.mp4", "film6.mp4")


def test_a_negative_part_lowers_what_it_shows(lib: Library) -> None:
    wanted = [Part("image", picture(101)), Part("image", picture(601))]
    plain = {name(m): m.score for m in lib.search(parts=wanted, k=60, per_video=1)}
    without = {
        name(m): m.score for m in lib.search(parts=[*wanted, Part("image", picture(601), -1.0)], k=60, per_video=1)
    }
    assert without["film6.mp4"] < plain["film6.mp4"] - 0.5
    assert without["film1.mp4"] == pytest.approx(plain["film1.mp4"], rel=0.05)
    assert max(without, key=lambda n: without[n]) == "film1.mp4"


@pytest.mark.parametrize(
    ("text", "weight", "words"),
    [("red car", 1, "red car"), ("2:red car", 2, "red car"), ("0.5: red", 0.5, "red"), ("at 5:30", 1, "at 5:30")],
)
def test_weights_are_read(text: str, weight: float, words: str) -> None:
    part = parse_part("text", text)
    assert (part.weight, part.value) == (weight, words)


@pytest.mark.parametrize("text", ["", "  ", "2:", "2:  ", "0:car"])
def test_parts_that_say_nothing(text: str) -> None:
    with pytest.raises(QueryError):
        parse_part("text", text)


@pytest.mark.parametrize(
    "query", [{}, {"text": ""}, {"exclude": "a dog"}, {"text": "x", "k": 0}, {"text": "x", "k": 1001},
              {"text": "x", "offset": -1}]
)  # fmt: skip
def test_queries_that_cannot_be_answered(lib: Library, query: dict[str, Any]) -> None:
    with pytest.raises(QueryError):
        lib.search(**query)


def test_an_empty_library(tmp_path: Path) -> None:
    with library(tmp_path / "lib") as lib:
        with pytest.raises(NotIndexed, match="no library"):
            lib.search("a cat")
        lib.index([])
        with pytest.raises(NotIndexed, match="empty"):
            lib.search("a cat")


# ----------------------------------------------------------------------------------------------------------- filters


def found_with(lib: Library, **where: Any) -> set[str]:
    return {name(m) for m in lib.search(image=picture(101), k=200, where=Where(**where))}


def test_filters_are_exact(lib: Library, root: Path) -> None:
    films, small = set(FILMS), {f"{n:02}.mp4" for n in range(SMALL)}
    assert found_with(lib) == films | small
    assert found_with(lib, paths=("small",)) == small == found_with(lib, paths=("small/*.mp4",))
    assert found_with(lib, paths=("film[12].mp4", "03.mp4")) == {"film1.mp4", "film2.mp4", "03.mp4"}
    assert found_with(lib, paths=(str(root / "films" / "film1.mp4"),)) == {"film1.mp4"}
    assert found_with(lib, min_duration=2.0) == films
    assert found_with(lib, max_duration=2.0) == small
    assert found_with(lib, after=parse_time("2021"), before=parse_time("2023")) == {"film2.mp4", "film3.mp4"}
    exact = datetime(2021, 6, 15).timestamp()
    assert found_with(lib, after=exact, before=exact + 1) == {"film2.mp4"}
    assert found_with(lib, after=exact + 1, before=parse_time("2022")) == set()
    sizes = {p.name: p.stat().st_size for p in (root / "films").glob("film*")}
    limit = sorted(sizes.values())[2]
    assert found_with(lib, min_bytes=limit, paths=("film?.mp4",)) == {n for n, s in sizes.items() if s >= limit}
    assert found_with(lib, max_bytes=limit, paths=("film?.mp4",)) == {n for n, s in sizes.items() if s <= limit}
    ids = {v.id for v in lib.videos() if Path(v.path).name in ("film3.mp4", "05.mp4")}
    assert found_with(lib, videos=tuple(ids)) == {"film3.mp4", "05.mp4"}
    assert found_with(lib, paths=("nowhere",)) == set() == found_with(lib, videos=("ab" * 16,))


def test_a_filter_does_not_cost_answers(lib: Library) -> None:
    """What passes is found though everything else is nearer."""
    found = lib.search(image=picture(101), k=3, per_video=1, where=Where(paths=("small",)))
    assert len(found) == 3


def test_filters_of_the_list(lib: Library) -> None:
    assert [Path(v.path).name for v in lib.videos(Where(min_duration=2.0))] == sorted(FILMS)


@pytest.mark.parametrize(
    ("text", "when"),
    [("2024", (2024, 1, 1)), ("2024-05", (2024, 5, 1)), ("2024-05-31", (2024, 5, 31)),
     ("2024-05-31T18:30", (2024, 5, 31, 18, 30))],
)  # fmt: skip
def test_dates(text: str, when: tuple[int, ...]) -> None:
    assert parse_time(text) == datetime(*when).timestamp()


@pytest.mark.parametrize("text", ["", "yesterday", "2024-13", "2024-02-30", "31.5.2024", "99999"])
def test_bad_dates(text: str) -> None:
    with pytest.raises(QueryError, match="not a date"):
        parse_time(text)


# ------------------------------------------------------------------------------------------------------------ paging


@pytest.mark.parametrize("query", [{"text": "a street at night"}, {"image": "101"}, {"text": "snow", "image": "302"}])
@pytest.mark.parametrize("size", [3, 10])
def test_pages_follow_each_other(lib: Library, query: dict[str, str], size: int) -> None:
    asked: dict[str, Any] = {**query}
    if "image" in asked:
        asked["image"] = picture(int(asked["image"]))
    pages: list[Moment] = []
    while page := lib.search(**asked, k=size, offset=len(pages), per_video=1):
        pages += page
    keys = [(m.video.id, m.start) for m in pages]
    assert len(keys) == len(set(keys)) == len(FILMS) + SMALL
    assert [m.score for m in pages] == sorted((m.score for m in pages), reverse=True)


# ------------------------------------------------------------------------------------------------------------- words


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    shown = pytest.importorskip("skimage.data")
    folder = tmp_path_factory.mktemp("photos")
    for subject, photo in (("cat", shown.chelsea), ("coffee", shown.coffee), ("rocket", shown.rocket)):
        still = np.asarray(Image.fromarray(photo()).resize((320, 240)))
        render(folder / f"{subject}.mp4", [still] * 20, fps=FPS)
    with library(folder / "library") as lib:
        lib.index(folder)
        yield lib


@pytest.mark.parametrize(
    ("words", "subject"),
    [("a cat", "cat"), ("a cup of coffee", "coffee"), ("a rocket launch", "rocket"), ("猫", "cat"),
     ("一杯咖啡", "coffee"), ("CAT", "cat")],
)  # fmt: skip
def test_words_find_photographs(photos: Library, words: str, subject: str) -> None:
    assert name(photos.search(words)[0]) == f"{subject}.mp4"


def test_not_takes_away(photos: Library) -> None:
    plain = {name(m): m.score for m in photos.search("a cat")}
    without = {name(m): m.score for m in photos.search("a cat", exclude="a cat")}
    assert without["cat.mp4"] < plain["cat.mp4"]


@pytest.mark.parametrize("words", ["?!", "🎬", "x" * 5000, "a\nb\tc", "zzqqxx", "\u202ecat"])
def test_odd_words_are_answered(photos: Library, words: str) -> None:
    found = photos.search(words)
    assert 1 <= len(found) <= 3 and all(np.isfinite(m.score) for m in found)


# -------------------------------------------------------------------------------------------------------- many at once


def questions(lib: Library, root: Path) -> list[Question]:
    """Of every kind, some of them wrong."""
    ids = tuple(v.id for v in lib.videos()[:3])
    asked = [Question([Part("text", text)], SearchSettings(k=4)) for text in ("a red car", "snow", "a dog", "blocks")]
    return [
        *asked,
        Question([Part("text", "a cat"), Part("text", "snow", -1.0)], SearchSettings(k=30, per_video=1)),
        Question([Part("text", "a boat")], SearchSettings(k=5, offset=7)),
        Question([Part("text", "a boat")], SearchSettings(where=Where(videos=ids))),
        Question([Part("text", "a boat")], SearchSettings(where=Where(videos=("no such id",)))),
        Question([Part("image", picture(303))]),
        Question([Part("video", root / "films" / "film2.mp4"), Part("text", "night", 0.5)]),
        Question([]),
        Question([Part("text", "a boat")], SearchSettings(k=0)),
        Question([Part("image", root / "missing.png")]),
    ]


def alone(lib: Library, question: Question) -> list[Moment] | type[Exception]:
    settings = question.settings
    try:
        return lib.search(
            parts=question.parts,
            where=settings.where,
            k=settings.k,
            offset=settings.offset,
            per_video=settings.per_video,
        )
    except (QueryError, MediaError) as error:
        return type(error)


@pytest.mark.parametrize("times", [1, 5])
def test_together_is_as_alone_to_the_last_digit(lib: Library, root: Path, times: int) -> None:
    lib.search("warm"), lib.search("warm")  # from the third on the samples lie in memory
    asked = questions(lib, root) * times
    wanted = [alone(lib, question) for question in asked]
    found = [answer if isinstance(answer, list) else type(answer) for answer in lib.search_many(asked)]
    assert found == wanted
    assert sum(isinstance(answer, list) and len(answer) > 0 for answer in found) == 9 * times
    assert found[7] == [] and found[-3:] == [QueryError, QueryError, MediaNotFound]


def test_nothing_is_asked(lib: Library) -> None:
    assert lib.search_many([]) == []


def test_many_questions_to_an_empty_library(tmp_path: Path) -> None:
    with library(tmp_path / "lib") as lib, pytest.raises(NotIndexed):
        lib.search_many([Question([Part("text", "a cat")])])
    with library(tmp_path / "lib") as lib:
        (tmp_path / "none").mkdir()
        lib.index(tmp_path / "none")
        (answer,) = lib.search_many([Question([Part("text", "a cat")])])
        assert isinstance(answer, NotIndexed)
