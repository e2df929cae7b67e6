"""Which copy to keep, and what the others are to it: sound counts too."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from clips import library
from films import FPS
from media_samples import Sound, render
from test_copies_sound import RATE, SECONDS, scenes
from test_sounds import RATE as HEARD
from test_sounds import encoded, music, of, speech

from footage.copies.groups import Group, groups
from footage.copies.sound import witnessed
from footage.copies.within import Inside
from footage.library import Library
from footage.media import listen
from footage.sounds import landmarks
from footage.types import Match, MediaFile, Video


def video(name: str, seconds: float, *, side: int = 100, sound: bool = True, size: int = 1000) -> Video:
    file = MediaFile(f"/{name}.mp4", size, 0)
    return Video(name, (file,), seconds, side, side, 25.0, "h264", "mp4", 0.0, 9, "s", has_audio=sound)


def match(one: Video, other: Video, start: float = 0.0, evidence: tuple[str, ...] = ("picture",)) -> Match:
    """The other one shows all of it, from its second `start` on."""
    return Match(
        one.id, 0.0, one.duration, other, start, start + one.duration, 1.0, 1.0, 1.0, start, mirrored=False,
        evidence=evidence,
    )  # fmt: skip


def group_of(*matches: Match, videos: list[Video]) -> Group:
    (group,) = groups(Inside(matches, ()), videos)
    return group


def kinds(group: Group) -> dict[str, tuple[str, bool]]:
    return {Path(c.video.path).stem: (c.kind, c.redundant) for c in group.copies}


@pytest.mark.parametrize("seconds", [9.0, 10.9, 11.1])
def test_two_seconds_more_or_less_are_none(seconds: float) -> None:
    small, large = video("small", 10.0), video("large", seconds, side=200)
    longer = video("longer", seconds + 1.9)
    group = group_of(match(small, large), match(small, longer), match(large, longer), videos=[small, large, longer])
    assert group.copies[0].video == large
    much = replace(longer, duration=seconds + 2.1)
    group = group_of(match(small, large), match(small, much), match(large, much), videos=[small, large, much])
    assert group.copies[0].video != large


def test_what_has_sound_is_kept_before_what_is_large() -> None:
    mute, heard = video("mute", 10, side=200, sound=False, size=9000), video("heard", 10)
    group = group_of(match(mute, heard), videos=[mute, heard])
    assert kinds(group) == {"heard": ("master", False), "mute": ("re-encode", False)}, "the larger one is no worse"
    assert "sound" in group.reasons and "with sound" in group.as_dict()["why"]
    mute = replace(mute, width=100, height=100)
    group = group_of(match(mute, heard), videos=[mute, heard])
    assert kinds(group)["mute"] == ("re-encode", True)


def test_the_only_one_with_sound_is_not_redundant() -> None:
    mute, part = video("mute", 20, sound=False), video("part", 8)
    group = group_of(match(part, mute, 5.0), videos=[mute, part])
    assert kinds(group) == {"mute": ("master", False), "part": ("excerpt", False)}
    assert [v["advice"] for v in group.as_dict()["videos"]] == ["keep", "keep"]


def test_another_sound_is_another_kind() -> None:
    one, other = video("one", 10), video("other", 10, size=500)
    dubbed = group_of(match(one, other, evidence=("picture", "other sound")), videos=[one, other])
    assert kinds(dubbed) == {"one": ("master", False), "other": ("dubbed", False)}
    same = group_of(match(one, other, evidence=("picture", "sound")), videos=[one, other])
    assert kinds(same)["other"] == ("re-encode", True)


def test_whether_two_sides_of_a_match_sound_the_same(tmp_path: Path) -> None:
    film, other = video("film", 60), video("other", 60)
    sound = music(1, 60)
    seen = match(replace(film, duration=30.0), other, 20.0)  # seconds 20 to 50 of it
    part = sound[20 * HEARD : 50 * HEARD]
    coded = landmarks(listen(str(encoded(tmp_path / "coded.mp3", part, "mp3", 32_000))))
    whole = of(sound)
    assert witnessed(seen, of(part), whole) == witnessed(seen, coded, whole) == ("picture", "sound")
    assert witnessed(seen, of(part + speech(3, 30)), whole) == ("picture", "sound"), "spoken over"
    for number in range(2, 12):
        assert witnessed(seen, of(music(number, 30)), whole) == ("picture", "other sound")
    half = np.concatenate([part[: 12 * HEARD], music(2, 18)])
    assert witnessed(seen, of(half), whole) == ("picture", "other sound")
    late = np.concatenate([np.zeros(2 * HEARD, np.float32), part])
    assert witnessed(seen, of(late), whole) == ("picture", "other sound"), "two seconds away"
    assert witnessed(seen, of(np.zeros(30 * HEARD, np.float32)), whole) == ("picture",)
    assert witnessed(replace(seen, speed=1.1), of(part), whole) == ("picture",)


@pytest.fixture(scope="module")
def lib(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    """One film with its sound, mute, in a silent track, with another sound, and coded again."""
    root = tmp_path_factory.mktemp("sounds")
    (root / "films").mkdir()
    pictures = scenes(1)
    for name, crf, sound in (
        ("heard", 30, music(1, SECONDS)),
        ("mute", 16, None),
        ("silent", 18, np.zeros(SECONDS * RATE, np.float32)),
        ("dubbed", 24, music(2, SECONDS)),
        ("again", 34, music(1, SECONDS)),
    ):
        wave = None if sound is None else Sound(sound[None], RATE)
        options = {"preset": "ultrafast", "crf": str(crf)}
        render(root / "films" / f"{name}.mp4", pictures, fps=FPS, options=options, sound=wave)
    with library(root / "library") as made:
        assert {r.status for r in made.index(root / "films")} == {"indexed"}
        yield made


def test_a_library_says_what_is_dubbed_and_keeps_what_is_heard(lib: Library) -> None:
    inside, (group,) = lib.copies_within()
    names = {v.id: Path(v.path).stem for v in lib.videos()}
    evidence = {frozenset((names[m.query], names[m.video.id])): m.evidence for m in inside.matches}
    assert evidence[frozenset(("heard", "again"))] == ("picture", "sound")
    assert evidence[frozenset(("heard", "mute"))] == evidence[frozenset(("silent", "again"))] == ("picture",)
    assert evidence[frozenset(("dubbed", "again"))] == ("picture", "other sound")
    told = kinds(group)
    master = group.copies[0].video
    assert names[master.id] == "dubbed", "it is as complete, is heard as well, and has more bits"
    assert told["mute"] == told["silent"] == ("re-encode", True)
    assert told["heard"] == told["again"] == ("dubbed", False)
    assert lib.copies_within() == (inside, [group])
