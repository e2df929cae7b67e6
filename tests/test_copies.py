"""Copies that are planted with known edges are found, and what is no copy is not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import wave
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path

import numpy as np
import pytest
from clips import library, remux
from films import FPS, HEIGHT, WIDTH, card, film, shot, still, write
from media_samples import Picture
from PIL import Image

from footage import encoders
from footage.copies import CopySettings, join
from footage.copies.align import Segment, segments, stretches
from footage.copies.boxes import bars, boxes
from footage.copies.dense import Dense
from footage.copies.edges import cut
from footage.copies.facts import Facts, Found
from footage.copies.geometry import MIRROR, PLAIN, Warp, agreement, into, refined
from footage.copies.probability import probability
from footage.copies.queries import Chunk, chunks
from footage.copies.shared import Shared
from footage.encoders.layout import mirrored
from footage.errors import MediaError, MediaNotFound, NotIndexed, QueryError
from footage.library import Library
from footage.media import open_video
from footage.media.greys import Greys
from footage.places import place
from footage.types import Match, Video

FILMS = (1, 2, 3, 4, 5)
STILL = 6  # seed of one whose camera stands
INTRO = 90  # seed of what three of the films begin with
LEAD = 2.0  # seconds of it


@pytest.fixture(scope="module")
def lib(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    """Six films; four more begin with one intro, two with a test card, two with black."""
    root = tmp_path_factory.mktemp("copies")
    for seed in FILMS:
        write(root / "films" / f"film{seed}.mp4", film(seed))
    write(root / "films" / f"film{STILL}.mp4", film(STILL, pan=0))
    for seed in (11, 12, 13):
        write(root / "films" / f"intro{seed}.mp4", chain(film(INTRO, 0, LEAD), film(seed, 0, 4)))
    for seed in (21, 22):
        write(root / "films" / f"card{seed}.mp4", chain(still(card(), 2.0), film(seed, 0, 4)))
        black = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        write(root / "films" / f"black{seed}.mp4", chain(still(black, 2.0), film(seed + 10, 0, 4)))
    short = chain(film(INTRO, 0, LEAD), film(14, 0, 1.2, pan=0))
    write(root / "films" / "intro14.mp4", short)
    with library(root / "library") as made:
        assert {r.status for r in made.index(root / "films")} == {"indexed"}
        yield made


def name_of(match: Match) -> str:
    return Path(match.video.path).stem


def check(match: Match, name: str, query: tuple[float, float], video: tuple[float, float], slack: float = 0.2) -> None:
    """The match is of this film, and its edges lie where they were planted."""
    assert name_of(match) == name, match
    found = (match.query_start, match.query_end, match.start, match.end)
    assert np.abs(np.subtract(found, (*query, *video))).max() <= slack, (found, query, video)
    assert match.probability >= 0.5 and match.evidence == ("picture",)
    assert match.offset == pytest.approx(match.start - match.speed * match.query_start, abs=1e-6)


# ------------------------------------------------------------------------------------------------ what is found


def crop(p: Picture) -> Picture:
    return p[HEIGHT // 8 : -HEIGHT // 8, WIDTH // 5 :]


def letterbox(p: Picture) -> Picture:
    return np.pad(p, ((24, 24), (0, 0), (0, 0)))


def inset(p: Picture) -> Picture:
    """A window of half the size in another film, which goes on behind it."""
    out = shot(77, float(p[0, 0, 0]) / 30).copy()
    small = np.asarray(Image.fromarray(p).resize((WIDTH // 2, HEIGHT // 2), Image.Resampling.BOX))
    out[HEIGHT // 3 : HEIGHT // 3 + HEIGHT // 2, WIDTH // 4 : WIDTH // 4 + WIDTH // 2] = small
    return out


def noise(p: Picture) -> Picture:
    return np.clip(p + np.random.default_rng(int(p.sum())).normal(0, 20, p.shape), 0, 255).astype(np.uint8)


def darker(p: Picture) -> Picture:
    return (255 * (p / 255.0) ** 1.7 * 0.8).astype(np.uint8)


def sign(p: Picture) -> Picture:
    out = p.copy()
    out[10:44, 12:90] = (250, 240, 20)
    return out


def smaller(p: Picture) -> Picture:
    return np.asarray(Image.fromarray(p).resize((80, 60), Image.Resampling.BOX))


ATTACKS: dict[str, Callable[[Picture], Picture] | None] = {
    "plain": None,
    "crop": crop,
    "mirrored": lambda p: p[:, ::-1],
    "letterbox": letterbox,
    "inset": inset,
    "turned": np.rot90,
    "noise": noise,
    "darker": darker,
    "sign": sign,
    "smaller": smaller,
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_copy_is_found_whatever_was_done_to_the_picture(lib: Library, tmp_path: Path, attack: str) -> None:
    clip = write(tmp_path / "clip.mp4", film(2, 2.0, 6.0), ATTACKS[attack])
    matches = lib.copies(clip)
    assert len(matches) == 1, matches
    check(matches[0], "film2", (0, 4), (2, 6))
    assert matches[0].mirrored == (attack == "mirrored")
    assert matches[0].speed == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize("speed", [0.5, 0.6, 1.5, 2.0])
def test_a_copy_at_another_speed(lib: Library, tmp_path: Path, speed: float) -> None:
    clip = write(tmp_path / "clip.mp4", film(3, 1.0, 7.0, speed=speed))
    (match,) = lib.copies(clip)
    check(match, "film3", (0, 6 / speed), (1, 7), slack=0.25)
    assert match.speed == pytest.approx(speed, rel=0.03)


@pytest.mark.parametrize(("seed", "pan"), [(2, 12.0), (STILL, 0.0)], ids=["the camera pans", "the camera stands"])
@pytest.mark.parametrize("speed", [0.8, 1.25])
def test_a_mirrored_cropped_copy_at_another_speed_is_one_segment(
    lib: Library, tmp_path: Path, speed: float, seed: int, pan: float
) -> None:
    clip = write(tmp_path / "clip.mp4", film(seed, 1.0, 7.0, speed=speed, pan=pan), lambda p: crop(p)[:, ::-1])
    (match,) = lib.copies(clip)
    check(match, f"film{seed}", (0, 6 / speed), (1, 7), slack=0.25)
    assert match.speed == pytest.approx(speed, rel=0.03) and match.mirrored


def test_pieces_of_three_videos_in_another_order(lib: Library, tmp_path: Path) -> None:
    pieces = chain(film(4, 5.0, 7.5), film(1, 0.5, 3.5), film(2, 3.0, 5.0))
    matches = sorted(lib.copies(write(tmp_path / "clip.mp4", pieces)), key=lambda m: m.query_start)
    assert len(matches) == 3
    check(matches[0], "film4", (0, 2.5), (5, 7.5))
    check(matches[1], "film1", (2.5, 5.5), (0.5, 3.5))
    check(matches[2], "film2", (5.5, 7.5), (3, 5))


def test_more_pieces_than_are_compared_at_a_time(lib: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("footage.copies.register._KEPT", 1)
    pieces = chain(film(4, 5.0, 7.5), film(1, 0.5, 3.5), film(2, 3.0, 5.0), film(3, 1.0, 3.0))
    matches = lib.copies(write(tmp_path / "clip.mp4", pieces))
    assert {name_of(m) for m in matches} == {"film4", "film1", "film2", "film3"}


def test_a_cut_makes_two_segments_of_one_video(lib: Library, tmp_path: Path) -> None:
    clip = write(tmp_path / "clip.mp4", chain(film(5, 0.0, 2.0), film(5, 4.0, 7.0)))
    first, second = sorted(lib.copies(clip), key=lambda m: m.query_start)
    check(first, "film5", (0, 2), (0, 2))
    check(second, "film5", (2, 5), (4, 7))


def test_a_copy_within_other_material(lib: Library, tmp_path: Path) -> None:
    clip = write(tmp_path / "clip.mp4", chain(film(60, 0, 2), film(1, 2, 5), film(61, 0, 2)))
    (match,) = lib.copies(clip)
    check(match, "film1", (2, 5), (2, 5))


def test_one_second_is_enough(lib: Library, tmp_path: Path) -> None:
    (match,) = lib.copies(write(tmp_path / "clip.mp4", film(4, 3.0, 4.0)))
    check(match, "film4", (0, 1), (3, 4))


def test_a_long_query_is_looked_at_in_chunks_and_answered_as_one(lib: Library, tmp_path: Path) -> None:
    clip = write(tmp_path / "clip.mp4", film(3, 0.0, 8.0))
    finder = lib.copy_finder()
    done: list[float] = []
    finder.chunk, finder.on_progress = 3.0, done.append
    (match,) = finder.find(clip)
    check(match, "film3", (0, 8), (0, 8))
    assert done == pytest.approx([3.0, 8.0], abs=0.1)  # the last seconds are too few for a chunk of their own


def test_a_query_that_tells_no_length_is_looked_at_in_chunks(tmp_path: Path) -> None:
    clip = write(tmp_path / "clip.h264", film(3, 0.0, 16.0))
    with open_video(place(str(clip))) as reader:
        assert not reader.info.duration
    found = list(chunks(place(str(clip)), length=5.0))
    assert len(found) >= 2 and max(each.end - each.start for each in found) < 10
    assert sum(len(each.full) for each in found) == 16 * FPS


def test_without_the_file_the_key_frames_answer(tmp_path: Path) -> None:
    source = write(tmp_path / "films" / "film1.mp4", film(1))
    for seed in (2, 3):
        write(tmp_path / "films" / f"film{seed}.mp4", film(seed))
    clip = write(tmp_path / "clip.mp4", film(1, 2.0, 7.0))
    with library(tmp_path / "library") as made:
        made.index(tmp_path / "films")
        source.unlink()
        (match,) = made.copies(clip)
    check(match, "film1", (0, 5), (2, 7), slack=1.0)


# -------------------------------------------------------------------------------------------- what is not found


def test_another_film_has_no_copy(lib: Library, tmp_path: Path) -> None:
    assert lib.copies(write(tmp_path / "clip.mp4", film(50, 0, 4))) == []


def test_another_take_of_a_scene_is_no_copy(lib: Library, tmp_path: Path) -> None:
    assert lib.copies(write(tmp_path / "clip.mp4", film(STILL, 1.0, 6.0, take=1, pan=0))) == []
    (match,) = lib.copies(write(tmp_path / "copy.mp4", film(STILL, 1.0, 6.0, pan=0)))
    check(match, f"film{STILL}", (0, 5), (1, 6))


def test_a_copy_that_goes_on_in_another_take_ends_there(lib: Library, tmp_path: Path) -> None:
    """The camera stands: nothing but what moves tells where the copy ends, and most of the clip is no copy."""
    pieces = chain(film(STILL, 3.0, 4.5, pan=0), film(STILL, 1.0, 4.0, take=1, pan=0))
    (match,) = lib.copies(write(tmp_path / "clip.mp4", pieces))
    check(match, f"film{STILL}", (0, 1.5), (3, 4.5), slack=0.25)


def test_a_black_start_is_no_copy(lib: Library, tmp_path: Path) -> None:
    black = still(np.zeros((HEIGHT, WIDTH, 3), np.uint8), 2.0)
    assert lib.copies(write(tmp_path / "clip.mp4", chain(black, film(51, 0, 3)))) == []


def test_a_test_card_is_no_copy(lib: Library, tmp_path: Path) -> None:
    clip = write(tmp_path / "clip.mp4", chain(still(card(), 2.0), film(52, 0, 3)))
    assert lib.copies(clip) == []


def test_a_shared_intro_is_no_copy_but_what_follows_it_is(lib: Library, tmp_path: Path) -> None:
    assert lib.copies(write(tmp_path / "none.mp4", chain(film(INTRO, 0, LEAD), film(53, 0, 3)))) == []
    matches = lib.copies(write(tmp_path / "clip.mp4", chain(film(INTRO, 0, LEAD), film(12, 0.0, 3.0))))
    assert [name_of(m) for m in matches] == ["intro12"]
    assert matches[0].query_end == pytest.approx(LEAD + 3, abs=0.2)


def test_what_goes_on_behind_an_intro_is_judged_by_itself(lib: Library, tmp_path: Path) -> None:
    """Most of the match is the intro; behind it is the rest of the video, or another take of its scene."""
    copied = chain(film(INTRO, 0, LEAD), film(14, 0, 1.2, pan=0), film(55, 0, 1))
    (match,) = lib.copies(write(tmp_path / "copy.mp4", copied))
    check(match, "intro14", (LEAD, LEAD + 1.2), (LEAD, LEAD + 1.2))
    other = chain(film(INTRO, 0, LEAD), film(14, 0, 1.2, take=1, pan=0), film(55, 0, 1))
    assert lib.copies(write(tmp_path / "other.mp4", other)) == []


def test_a_still_scene_behind_it_makes_no_intro(tmp_path: Path) -> None:
    """One sample stands for all of a scene that does not move: two copies that end so go on alike all the same."""
    for name, change in (("one", None), ("two", smaller)):
        write(tmp_path / "films" / f"{name}.mp4", chain(film(71, 0, 5), still(shot(72, 0), 9.0)), change)
    for seed in (1, 2, 3):
        write(tmp_path / "films" / f"film{seed}.mp4", film(seed))
    with library(tmp_path / "library") as made:
        made.index(tmp_path / "films")
        found = made.copies(write(tmp_path / "clip.mp4", chain(film(71, 0, 5), still(shot(72, 0), 6.0))))
    assert {name_of(m) for m in found} == {"one", "two"}


def test_an_intro_in_bars_tells_that_it_is_common(tmp_path: Path) -> None:
    """Two takes of a scene go on alike behind it; that others have it too is seen though they have another shape."""
    for take in (0, 1):
        scene = film(15, 0, 4, take=take, pan=0)
        write(tmp_path / "films" / f"take{take}.mp4", chain(film(INTRO, 0, 3), scene))
    for seed in (16, 17):
        write(tmp_path / "films" / f"other{seed}.mp4", chain(film(INTRO, 0, 3), film(seed, 0, 4)), letterbox)
    for seed in (1, 2, 3, 4, 5, 11, 12):
        write(tmp_path / "films" / f"film{seed}.mp4", film(seed))
    with library(tmp_path / "library") as made:
        made.index(tmp_path / "films")
        assert made.copies(write(tmp_path / "clip.mp4", chain(film(INTRO, 0, 3), film(53, 0, 3)))) == []


def test_an_intro_is_told_by_matches_that_are_in_doubt_too(
    lib: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An attack may leave the other owners of an intro below one half, and the library's vectors without a word."""
    monkeypatch.setattr(Shared, "_inside", lambda *_: [])
    clip = write(tmp_path / "clip.mp4", chain(film(53, 0, 1.5), film(INTRO, 0, LEAD), film(54, 0, 1.5)))
    finder = lib.copy_finder(CopySettings(min_probability=0.0))
    found = {Path(each.video.path).stem: each for each in finder.found(clip) if each.probability >= 0.5}
    assert set(found) >= {"intro11", "intro12", "intro13"}
    one, *others = found.values()

    def weaker(each: Found, wanted: float) -> Found:
        rows = (replace(each, facts=replace(each.facts, moving=m, quick=m, weakest=m)) for m in np.linspace(1, 0, 201))
        return next(row for row in rows if row.probability <= wanted)

    doubtful = [weaker(each, 0.3) for each in others]
    assert all(0.1 < each.probability < 0.5 for each in doubtful)
    assert one.video.id not in {each.video.id for each in finder.settled([one, *doubtful])}
    hopeless = [weaker(each, 0.05) for each in others]
    assert one.video.id in {each.video.id for each in finder.settled([one, *hopeless])}


# ----------------------------------------------------------------------------------------------- asked wrongly


def test_what_cannot_be_asked(lib: Library, tmp_path: Path) -> None:
    with pytest.raises(MediaNotFound):
        lib.copies(tmp_path / "nothing.mp4")
    note = tmp_path / "note.mp4"
    note.write_text("no video")
    with pytest.raises(MediaError):
        lib.copies(note)
    with pytest.raises(QueryError, match="k is 0"):
        lib.copies(note, k=0)
    with pytest.raises(QueryError, match="probability"):
        lib.copies(note, min_probability=1.5)
    with pytest.raises(NotIndexed):
        Library.open(tmp_path / "no library").copies(note)
    with pytest.raises(QueryError, match="no clips"):
        lib.copy_finder().clips(lib.path / "store")


def test_the_command(lib: Library, tmp_path: Path) -> None:
    write(tmp_path / "clips" / "a.mp4", film(2, 2.0, 5.0))
    write(tmp_path / "clips" / "b.mp4", film(54, 0.0, 2.0))
    (tmp_path / "clips" / "c.mp4").write_text("no video")
    code = "from footage.cli import main; main()"
    command = [sys.executable, "-c", code, "copies", "--library", str(lib.path), "--json", str(tmp_path / "clips")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ.copy())
    assert done.returncode == 1  # of one clip nothing is known
    (line,) = done.stdout.splitlines()
    row = json.loads(line)
    assert Path(row["path"]).stem == "film2" and Path(row["query"]).name == "a.mp4"
    assert row["start"] == pytest.approx(2.0, abs=0.2) and row["probability"] >= 0.5
    assert "c.mp4" in done.stderr
    refused = subprocess.run([*command[:4], "--json"], capture_output=True, text=True, check=False)
    assert refused.returncode == 2 and "hint:" in refused.stderr


def said(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "footage.cli", "copies", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, env=os.environ.copy())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--within", "clip.mp4"], "--within takes no clip"),
        (["--within", "--sound"], "--within takes no --sound"),
        (["--within", "-k", "0"], "--within takes no -k"),
        (["--within", "--min-probability", "7", "-k", "3"], "--within takes no -k, --min-probability"),
        (["--again", "clip.mp4"], "--again is for --within"),
        (["-k", "0", "clip.mp4"], "k is 0"),
        (["--min-probability", "7", "clip.mp4"], "the least probability is 7"),
    ],
)
def test_options_that_mean_nothing_together(lib: Library, tmp_path: Path, arguments: list[str], says: str) -> None:
    done = said(*arguments, "--library", lib.path, cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.startswith("error: ") and says in done.stderr and done.stdout == ""


def test_an_empty_library_is_told_once(tmp_path: Path) -> None:
    for number in (1, 2):
        write(tmp_path / "clips" / f"{number}.mp4", film(number, 0.0, 1.0))
    with library(tmp_path / "library") as empty:
        (result,) = empty.index(tmp_path / "clips" / "1.mp4")
        empty.remove(result.video_id)
    done = said("clips", "--library", "library", cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.count("the library is empty") == 1 and "failed" not in done.stderr


def test_a_damaged_clip_says_up_to_where_it_was_read(lib: Library, tmp_path: Path) -> None:
    for seed, start in ((2, 1.0), (54, 0.0)):
        whole = write(tmp_path / f"whole{seed}.mp4", film(seed, start, start + 5.0))
        remux(whole, tmp_path / f"{seed}.mkv", "")
        data = (tmp_path / f"{seed}.mkv").read_bytes()
        (tmp_path / f"{seed}.mkv").write_bytes(data[: round(0.6 * len(data))])
    for name, lines in (("2.mkv", 1), ("54.mkv", 2)):
        done = said(name, "--json", "--library", lib.path, cwd=tmp_path)
        assert done.returncode == 0 and f"warning: {name}: " in done.stderr, done.stderr
        assert " at 2." in done.stderr or " at 3." in done.stderr
        assert len(done.stderr.splitlines()) == lines and len(done.stdout.splitlines()) == 2 - lines
    whole = said("whole2.mp4", "--json", "--library", lib.path, cwd=tmp_path)
    assert whole.stderr == "" and whole.stdout


@pytest.mark.parametrize(
    ("name", "content", "says", "hint"),
    [
        ("none.mp4", None, "no such file", "is the name right?"),
        ("empty.mp4", b"", "an empty file", "copy it again"),
        ("text.mp4", b"this is no video", "not a video (text)", "give a video"),
        ("still.mp4", b"picture", "not a video (a still picture)", "--image"),
        ("sound.wav", b"sound", "not a video (audio only)", "give a video"),
    ],
)
def test_what_is_no_clip_says_what_to_do(
    lib: Library, tmp_path: Path, name: str, content: bytes | None, says: str, hint: str
) -> None:
    if name == "still.mp4":
        Image.new("RGB", (64, 64)).save(tmp_path / name, "png")
    elif name == "sound.wav":
        with wave.open(str(tmp_path / name), "wb") as out:
            out.setnchannels(1)
            out.setsampwidth(2)
            out.setframerate(8000)
            out.writeframes(bytes(16000))
    elif content is not None:
        (tmp_path / name).write_bytes(content)
    done = said(name, "--library", lib.path, cwd=tmp_path)
    error, empty, told = done.stderr.splitlines()
    assert done.returncode == 1 and says in error and empty == "" and told.startswith("hint: ") and hint in told


# ------------------------------------------------------------------------------------------------- the parts


def test_lines_are_found_in_a_similarity_matrix() -> None:
    query, video = np.arange(0, 10, 0.1), np.arange(0, 30, 0.1)
    values = np.random.default_rng(0).normal(0.05, 0.1, (len(query), len(video))).astype(np.float32)
    for start, end, speed, shift in ((2, 7, 1.37, 3.2), (7, 9, 0.6, 1.0)):
        for number in np.flatnonzero((query >= start) & (query < end)):
            values[number] += 0.7 * np.exp(-(((video - shift - speed * query[number]) / 0.25) ** 2))
    first, second = segments(values, query, video)
    assert (first.query_start, first.query_end) == pytest.approx((2.0, 7.0), abs=0.11)
    assert first.speed == pytest.approx(1.37, rel=0.01)
    assert (second.start, second.end) == pytest.approx((5.2, 6.4), abs=0.2)
    assert segments(np.zeros((50, 50), np.float32), query[:50], video[:50]) == []


def test_a_line_between_the_rows_that_are_looked_at_comes_once() -> None:
    rng = np.random.default_rng(1)
    query, video = np.arange(0, 60, 0.1), np.arange(0, 130, 0.1)
    for _ in range(3):
        values = (0.15 + 0.08 * rng.standard_normal((len(query), len(video)))).astype(np.float32)
        for length in rng.integers(3, 8, 6):
            row, column = rng.integers(0, len(query) - 8), rng.integers(0, len(video) - 8)
            values[np.arange(row, row + length), np.arange(column, column + length)] = 0.9
        found = [s for group in islice(stretches(values, query, video), 60) for s in group]
        assert len({(s.query_start, s.query_end, s.shift) for s in found}) == len(found) < 60


@pytest.mark.parametrize("true", [PLAIN, MIRROR, into((0.2, 0.3, 0.7, 0.8)), Warp(1.6, 0.1, -0.3, -0.1, 1.6, -0.2)])
def test_a_map_is_refined(true: Warp) -> None:
    video = np.stack([place_grey(seed) for seed in (31, 32, 33)])
    height, width = video.shape[1:]
    y, x = np.mgrid[:height, :width]
    places = np.stack([(x + 0.5) / width, (y + 0.5) / height, np.ones_like(x)]).reshape(3, -1)
    there = true.back().matrix @ places
    column, row = (there[0] * width - 0.5).round().astype(int), (there[1] * height - 0.5).round().astype(int)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    query = np.full((3, height * width), 90, np.uint8)
    query[:, inside] = video[:, row[inside], column[inside]]
    query = query.reshape(video.shape)
    off = replace(true, a=true.a * 1.05, c=true.c + 0.02, f=true.f - 0.02)
    found = refined(off, query, video)
    assert found.near(true, 0.02) and agreement(found, query, video) > 0.9
    assert found.mirrored == (true == MIRROR)


def place_grey(seed: int) -> Picture:
    return shot(seed, 0.0).mean(axis=2).astype(np.uint8)


def test_bars_and_boxes() -> None:
    pictures = np.stack([p.mean(axis=2).astype(np.uint8) for p in film(1, 0, 2)])
    assert bars(pictures) is None
    trimmed = bars(np.pad(pictures, ((0, 0), (24, 24), (0, 0))))
    assert trimmed == pytest.approx((0, 24 / 156, 1, 132 / 156), abs=0.02)
    window = np.stack([inset(p).mean(axis=2).astype(np.uint8) for p in film(1, 0, 2)])
    found = boxes(window)
    wanted = (0.25, 1 / 3, 0.75, 1 / 3 + 0.5)
    assert any(np.abs(np.subtract(box, wanted)).max() < 0.03 for box in found), found


def test_what_moves_tells_a_copy_from_another_take() -> None:
    facts = Facts(0.95, 0.9, 0.3, 0.3, 0.1, 40.0, 1.0, 4.0, 1.0)
    assert probability(facts) > 0.9
    assert probability(replace(facts, moving=0.1)) < 0.1
    assert probability(replace(facts, motion=0.0, moving=0.0)) < 0.5
    doubtful = replace(facts, moving=0.75)
    assert probability(doubtful) > 0.5
    assert probability(doubtful, better=1.4) < 0.5  # another video has all that moves
    assert probability(replace(facts, moving=0.97), better=0.6) > 0.9
    assert CopySettings().min_probability == 0.5
    assert FPS == 15


# ------------------------------------------------------------------------------------------- within the library


@pytest.fixture(scope="module")
def twice(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    """A master with a small re-encode, an excerpt and a mirrored copy; a compilation; an intro in three others."""
    root = tmp_path_factory.mktemp("within")
    films = root / "films"
    write(films / "master.mp4", film(1, 0, 10))
    write(films / "small.mp4", film(1, 0, 10), smaller)
    write(films / "excerpt.mp4", film(1, 3, 8))
    write(films / "mirrored.mp4", film(1, 0, 10), ATTACKS["mirrored"])
    write(films / "other.mp4", film(2, 0, 10))
    write(films / "compilation.mp4", chain(film(1, 0, 4), film(2, 5, 9)))
    for seed in (11, 12, 13):
        write(films / f"intro{seed}.mp4", chain(film(INTRO, 0, 4), film(seed, 0, 8)))
    write(films / "alone.mp4", film(40, 0, 6))
    with library(root / "library") as made:
        made.index(films)
        yield made


def test_the_copies_within_a_library(twice: Library) -> None:
    inside, (group, second) = twice.copies_within()
    assert {Path(c.video.path).stem: c.kind for c in second.copies} == {"other": "master", "compilation": "compilation"}
    kinds = {Path(c.video.path).stem: c.kind for c in group.copies}
    assert group.copies[0].kind == "master" and Path(group.copies[0].video.path).stem == "master"
    assert kinds["small"] == "re-encode" and kinds["excerpt"] == "excerpt" and kinds["mirrored"] == "mirrored"
    assert kinds["compilation"] == "compilation"
    redundant = {Path(c.video.path).stem for c in group.copies if c.redundant}
    assert redundant == {"small", "excerpt"}
    names = {v.id: Path(v.path).stem for v in twice.videos()}
    (excerpt,) = [m for m in inside.matches if {names[m.query], name_of(m)} == {"master", "excerpt"}]
    longer = (excerpt.query_start, excerpt.query_end)
    longer = longer if names[excerpt.query] == "master" else (excerpt.start, excerpt.end)
    assert longer == pytest.approx((3, 8), abs=0.3)
    assert {"alone"} & {names[m.query] for m in inside.matches} == set()
    (shared,) = inside.shared
    assert {Path(s.video.path).stem for s in shared} == {"intro11", "intro12", "intro13"}
    assert all(s.start == pytest.approx(0, abs=0.3) and s.end == pytest.approx(4, abs=0.5) for s in shared)


def test_mirrored_layouts_are_those_of_mirrored_pictures() -> None:
    layout = encoders.load("layout")
    picture = shot(3, 1.0)
    plain, turned = (layout.encode_images(p[None].copy())["layout"] for p in (picture, picture[:, ::-1]))
    made = mirrored(plain, "layout")
    assert made is not None and np.abs(made - turned).max() < 1e-3


def test_the_self_join_finds_what_was_planted() -> None:
    rng = np.random.default_rng(5)
    rows = [rng.standard_normal((20, 64)).astype(np.float32) for _ in range(60)]
    rows[41] = (rows[7] + 0.3 * rng.standard_normal((20, 64))).astype(np.float32)
    sketcher = join.Sketcher.of(np.concatenate(rows))
    for number, each in enumerate(rows):
        sketcher.take(number, each / np.linalg.norm(each, axis=1, keepdims=True), None)
    votes = join.pairs(sketcher.made())
    assert max(votes, key=lambda pair: len(votes[pair])) == (7, 41) and len(votes[7, 41]) >= 10
    assert all(one == other for one, other in votes[7, 41])
    assert join.pairs(join.Sketcher.of(rows[0]).made()) == {}


def test_what_looks_the_same_here_and_there_is_not_aligned() -> None:
    """Vectors of few dimensions look alike by chance, in a large library too often; what was copied goes on."""
    rng = np.random.default_rng(6)
    axes = rng.standard_normal((10, 64)).astype(np.float32)
    rows = [rng.standard_normal((50, 10)).astype(np.float32) @ axes for _ in range(240)]
    rows[200][20:30] = rows[3][5:15] + 0.3 * rng.standard_normal((10, 64)).astype(np.float32)
    unit = [each / np.linalg.norm(each, axis=1, keepdims=True) for each in rows]
    sketcher = join.Sketcher.of(np.concatenate(unit[:40]))
    for number, each in enumerate(unit):
        sketcher.take(number, each, None)
    votes = join.pairs(sketcher.made())
    wanted = {pair: part for pair, every in votes.items() if len(part := join.in_line(every, 50, 50))}
    assert len(votes) > 1000 and len(wanted) < len(votes) / 5
    assert {tuple(place) for place in wanted[3, 200]} >= {(n, n + 15) for n in range(5, 15)}


def test_the_command_within(twice: Library) -> None:
    code = "from footage.cli import main; main()"
    command = [sys.executable, "-c", code, "copies", "--within", "--library", str(twice.path), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    kinds = [next(iter(row)) for row in rows]
    assert kinds.count("group") == 2 and kinds.count("shared") == 1 and kinds.count("match") >= 4
    plan = next(row["group"] for row in rows if "group" in row)
    assert {v["advice"] for v in plan["videos"]} == {"keep", "redundant"}
    assert plan["keep"] == plan["videos"][0]["video"] and plan["why"]


# ------------------------------------------------------------------------------------------------ what comes again

AGAIN = 95  # seed of what comes again


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    """A recording in which three seconds come four times, once as another take, and a still card stays for long."""
    root = tmp_path_factory.mktemp("recording")
    spot = lambda take=0: film(AGAIN, 0, 3, take=take)  # noqa: E731
    parts = (
        spot(), film(1, 0, 5), spot(), film(2, 0, 5), still(card(), 12.0), spot(take=1), film(3, 0, 5), spot(),
        film(4, 0, 6), spot(),
    )  # fmt: skip
    write(root / "films" / "recording.mp4", chain.from_iterable(parts))
    for seed in FILMS:
        write(root / "films" / f"film{seed}.mp4", film(seed))
    with library(root / "library") as made:
        made.index(root / "films")
        yield made


STARTS = (0, 8, 36, 45)  # of what comes again; the other take is at 28


@pytest.mark.parametrize("attack", ["plain", "mirrored", "letterbox", "noise"])
def test_what_comes_again_in_a_video_is_found_at_each_place(recording: Library, tmp_path: Path, attack: str) -> None:
    clip = write(tmp_path / "clip.mp4", film(AGAIN, 0.5, 3.0), ATTACKS[attack])
    matches = sorted(recording.copies(clip), key=lambda m: m.start)
    assert [name_of(m) for m in matches] == ["recording"] * 4, matches
    for match, start in zip(matches, STARTS, strict=True):
        check(match, "recording", (0, 2.5), (start + 0.5, start + 3))
        assert match.mirrored == (attack == "mirrored")


def test_a_clip_of_several_pieces_finds_each_place_of_each(recording: Library, tmp_path: Path) -> None:
    clip = write(tmp_path / "clip.mp4", chain(film(3, 1, 4), film(AGAIN, 0, 3)))
    found = sorted((name_of(m), round(m.query_start), round(m.start)) for m in recording.copies(clip))
    assert found == [("film3", 0, 1), ("recording", 0, 32), *(("recording", 3, at) for at in STARTS)]


def test_places_go_on_where_a_chunk_of_the_query_ends(recording: Library, tmp_path: Path) -> None:
    finder = recording.copy_finder()
    finder.chunk = 4.5  # in the middle of what comes again
    found = finder.find(write(tmp_path / "clip.mp4", chain(film(5, 0, 3), film(AGAIN, 0, 3), film(5, 3, 8))).as_posix())
    again = sorted((m for m in found if name_of(m) == "recording"), key=lambda m: m.start)
    assert len(again) == 4, found
    for match, start in zip(again, STARTS, strict=True):
        check(match, "recording", (3, 6), (start, start + 3), slack=0.4)


def test_a_still_scene_is_one_place(recording: Library, tmp_path: Path) -> None:
    clip = write(tmp_path / "clip.mp4", chain(film(2, 3, 5), still(card(), 3.0)))
    inside = [m for m in recording.copies(clip) if name_of(m) == "recording"]
    assert len(inside) <= 2 and min(m.start for m in inside) == pytest.approx(14, abs=0.2)


# ------------------------------------------------------------------------------------------------ decoding densely


def test_what_is_missing_of_a_range_is_decoded_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And it is what decoding it piece by piece gives, with what is at hand between two missing pieces."""
    write(tmp_path / "films" / "long.mp4", film(1, 0, 62))
    with library(tmp_path / "library") as made:
        made.index(tmp_path / "films")
        (video,) = made.videos()
        asked: list[tuple[float, float]] = []
        real = Dense.exact

        def exact(self: Dense, video: Video, start: float, end: float, rate: float) -> Greys | None:
            asked.append((start, end))
            return real(self, video, start, end, rate)

        monkeypatch.setattr(Dense, "exact", exact)
        dense, pieces = Dense(made.frames), Dense(made.frames)
        middle = dense.range(video, 22, 28)
        assert asked == [(20, 30)] and middle is not None and len(middle) == 60
        whole = dense.range(video, 3, 61.5)
        assert asked[1:] == [(0, 20), (30, 70)] and whole is not None
        one_by_one = [pieces.range(video, max(start, 3.0), min(start + 9.99, 61.5)) for start in range(0, 70, 10)]
        assert np.array_equal(whole.times, np.concatenate([part.times for part in one_by_one if part is not None]))
        assert np.diff(whole.times) == pytest.approx(0.1, abs=0.04)
        before = len(asked)
        assert dense.range(video, 40, 60) is not None and len(asked) == before


def test_behind_damage_a_range_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "films" / "long.mp4", film(1, 0, 40))
    with library(tmp_path / "library") as made:
        made.index(tmp_path / "films")
        (video,) = made.videos()
        real = Dense.exact

        def exact(self: Dense, video: Video, start: float, end: float, rate: float) -> Greys | None:
            found = real(self, video, start, end, rate)
            return found.between(start, 15.0) if found is not None and start < 15.0 else found

        monkeypatch.setattr(Dense, "exact", exact)
        found = Dense(made.frames).range(video, 0, 39.9)
        assert found is not None and not ((found.times >= 15) & (found.times < 20)).any()
        assert ((found.times >= 20).sum(), (found.times < 15).sum()) == (199, 150)


def test_an_edge_in_a_gap_of_frames_stays_where_it_is(recwarn: pytest.WarningsRecorder) -> None:
    """A stream may stand for seconds: there is no frame then by which an edge could be cut."""
    pictures = np.stack([np.asarray(Image.fromarray(p).convert("L")) for p in film(1, 0, 4)])
    video = Greys(np.arange(len(pictures)) / FPS, pictures)
    kept = (video.times < 1.5) | (video.times >= 2.4)
    clip = Greys(video.times[kept], pictures[kept])
    chunk = Chunk(0.0, 4.0, clip, clip, clip.times[:0], [])
    record = Video("a", (), 4.0, WIDTH, HEIGHT, FPS, "h264", "mp4", 0.0, 4, "s")
    found = cut(Segment(0.0, 2.2, 1.0, 0.0, 1.0), PLAIN, chunk, video, record)
    assert (found.query_start, found.query_end) == (0.0, 2.2) and not recwarn.list
