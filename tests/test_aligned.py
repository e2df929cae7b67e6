"""A search for one clip says which of its seconds are which seconds of the answers."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest
from clips import library
from films import film, write
from motion import TinyMotion

from footage.errors import MediaError
from footage.library import Library
from footage.search import Part
from footage.types import Moment, Where


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six films, one of which holds four seconds of the first; clips of those seconds."""
    root = tmp_path_factory.mktemp("aligned")
    for seed in (1, 2, 3, 4, 5):
        write(root / "films" / f"film{seed}.mp4", film(seed))
    write(root / "films" / "mixed.mp4", chain(film(6, 0, 4), film(1, 2, 6)))
    write(root / "clip.mp4", film(1, 2.7, 5.2))
    write(root / "mirrored.mp4", film(1, 2.0, 6.0, speed=1.25), lambda p: p[:, ::-1])
    with library(root / "library") as lib:
        lib.index(root / "films")
    return root


@pytest.fixture(scope="module")
def lib(root: Path) -> Iterator[Library]:
    with library(root / "library") as opened:
        yield opened


def name(moment: Moment) -> str:
    return Path(moment.video.path).stem


def facts(moments: list[Moment]) -> list[dict[str, object]]:
    return [m.as_dict() for m in moments]


def test_exact_matches_come_first_and_ordinary_moments_follow(lib: Library, root: Path) -> None:
    found = lib.search(video=root / "clip.mp4", k=100)
    first, second, *others = found
    assert {name(first), name(second)} == {"film1", "mixed"}
    for moment in (first, second):
        start = 2.7 if name(moment) == "film1" else 4.7
        assert (moment.start, moment.end) == pytest.approx((start, start + 2.5), abs=0.1)
        assert moment.start <= moment.at < moment.end and moment.strength >= 0.5 and moment.evidence
        match = moment.match
        assert match is not None and match.video == moment.video and match.query == str(root / "clip.mp4")
        assert (match.query_start, match.query_end) == pytest.approx((0.0, 2.5), abs=0.1)
        assert match.probability >= 0.5 and not match.mirrored and match.evidence == ("picture",)
        assert moment.as_dict()["match"] == match.as_dict()
    assert others and all(m.match is None and "match" not in m.as_dict() for m in others)
    for other in others:
        for moment in (first, second):
            assert name(other) != name(moment) or other.end <= moment.start or other.start >= moment.end
    assert [m.score for m in found] == sorted((m.score for m in found), reverse=True)


def test_a_clip_that_was_changed(lib: Library, root: Path) -> None:
    first = lib.search(video=root / "mirrored.mp4", where=Where(paths=("film1.mp4",)))[0]
    assert (first.start, first.end) == pytest.approx((2, 6), abs=0.2)
    assert first.match is not None and first.match.mirrored and first.match.speed == pytest.approx(1.25, abs=0.05)


def test_pages_limits_and_filters_hold(lib: Library, root: Path) -> None:
    clip = root / "clip.mp4"
    whole = facts(lib.search(video=clip, k=100))
    for size in (1, 5):
        starts = range(0, len(whole), size)
        assert [m for n in starts for m in facts(lib.search(video=clip, k=size, offset=n))] == whole
    one = lib.search(video=clip, k=100, per_video=1)
    assert len({m.video.id for m in one}) == len(one) == 6
    assert [m.match is not None for m in one[:3]] == [True, True, False]
    found = lib.search(video=clip, where=Where(paths=("film[2-5]*",)))
    assert found and all(m.match is None for m in found)
    assert lib.search(video=clip, where=Where(paths=("nothing",))) == []


def test_only_one_clip_for_itself_is_aligned(lib: Library, root: Path) -> None:
    clip = Part("video", root / "clip.mp4")
    coarse = lib.search(video=root / "clip.mp4", align=False)
    assert all(m.match is None for m in coarse)
    for parts in ([clip, clip], [clip, Part("text", "a cat")], [Part("video", root / "clip.mp4", like="kind")]):
        assert all(m.match is None for m in lib.search(parts=parts))
    with pytest.raises(MediaError):
        lib.search(video=root / "nothing.mp4")


def test_a_library_without_pictures_answers_as_before(tmp_path: Path, root: Path) -> None:
    with Library.open(tmp_path / "library", encoder=TinyMotion()) as lib:
        lib.index(root / "films")
        found = lib.search(video=root / "clip.mp4")
    assert found and all(m.match is None for m in found)


def test_copies_that_are_known_are_shown_once(tmp_path: Path, root: Path) -> None:
    with library(tmp_path / "library") as lib:
        lib.index(root / "films")
        lib.copies_within()
        (found,) = (m for m in lib.search(video=root / "clip.mp4", k=100) if m.match is not None)
        assert {name(found), *(Path(v.path).stem for v, _ in found.also)} == {"film1", "mixed"}
        every = [m for m in lib.search(video=root / "clip.mp4", k=100, collapse=False) if m.match is not None]
        assert len(every) == 2 and all(m.also for m in every)


def test_the_command(lib: Library, root: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "footage.cli", "search", *arguments, "--library", str(lib.path)]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=root)

    done = run("--video", "mirrored.mp4", "--in", "film1.mp4")
    assert done.returncode == 0
    assert re.search(r"seconds 0:00\.0-0:03\.2 of the clip, 1\.2\dx, mirrored, picture$", done.stdout, re.MULTILINE)
    rows = [json.loads(line) for line in run("--video", "clip.mp4", "--json").stdout.splitlines()]
    assert [("match" in row) for row in rows[:3]] == [True, True, False]
    rows = [json.loads(line) for line in run("--video", "clip.mp4", "--no-align", "--json").stdout.splitlines()]
    assert rows and not any("match" in row for row in rows)
    for wrong in (["--video", "clip.mp4", "--like"], ["--video", "clip.mp4", "a cat"], ["a cat"]):
        done = run(*wrong, "--align")
        assert done.returncode == 2 and "only one clip alone" in done.stderr and "hint:" in done.stderr
