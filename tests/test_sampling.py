"""sampling: ranges that tile, a sample for every shot, none twice, and never none."""

from __future__ import annotations

import csv
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from media_samples import numbered, read_number, render, scene

from footage.errors import ConfigError
from footage.media import open_video
from footage.sampling import SamplingSettings, distance, samples
from footage.types import Frame, Sample


def luma(seed: int, shift: int = 0) -> np.ndarray:
    blocks = np.random.default_rng(seed).integers(20, 235, (6, 8), dtype=np.uint8)
    return np.roll(np.kron(blocks, np.ones((6, 8), np.uint8)), shift, axis=1)


SMOOTH = (128 + 90 * np.sin(np.arange(64) * np.pi / 16)[None, :] * np.ones((36, 1))).astype(np.uint8)


def frame(time: float, grey: np.ndarray, key: bool = True) -> Frame:
    return Frame(time, key, 64, 36, grey.astype(np.uint8), lambda w, h: np.zeros((h, w, 3), np.uint8))


def sample(frames: list[Frame], end: float | None = None, **settings: float | bool) -> list[Sample]:
    chosen = SamplingSettings(**settings)  # type: ignore[arg-type]
    return list(samples(iter(frames), chosen, (lambda: end) if end is not None else None))


def check_tiling(found: list[Sample], end: float) -> None:
    assert found
    assert found[0].start == 0
    assert found[-1].end == pytest.approx(end)
    for one, two in pairwise(found):
        assert one.end == two.start
    for one in found:
        assert one.start <= one.at < one.end
        assert one.frame.time == one.at


def ats(found: list[Sample]) -> list[float]:
    return [round(s.at, 6) for s in found]


def test_ranges_tile_whatever_comes() -> None:
    rng = np.random.default_rng(7)
    for _ in range(150):
        count = int(rng.integers(1, 120))
        gaps = rng.choice([1e-3, 1 / 60, 0.04, 0.5, 1.0, 3.7], count) * rng.uniform(0.5, 1.5)
        times = np.cumsum(gaps) - (gaps[0] if rng.random() < 0.7 else 0)
        shot, frames = 0, []
        for time in times:
            shot += rng.random() < 0.1
            noise = rng.integers(-2, 3, (36, 64)) if rng.random() < 0.5 else 0
            frames.append(frame(float(time), np.clip(luma(shot) + noise, 0, 255), key=bool(rng.random() < 0.3)))
        end = float(times[-1] + rng.choice([1e-6, 0.04, 2.0]))
        every, near = float(rng.choice([0.05, 0.5, 1, 10])), float(rng.choice([0, 3, 30]))
        for fast in (False, True):
            found = sample(frames, end, every=every, near=near, fast=fast)
            check_tiling(found, end)
            assert {s.at for s in found} <= set(times)


def test_one_a_second_of_moving_pictures() -> None:
    frames = [frame(i / 25, np.roll(SMOOTH, i, axis=1)) for i in range(250)]
    found = sample(frames, 10.0)
    assert ats(found) == [float(i) for i in range(10)]
    assert [s.end for s in found[:-1]] == pytest.approx([i + 0.5 for i in range(9)])


def test_a_jerky_cadence_is_not_cut_to_pieces() -> None:
    frames = [frame(i / 25, luma(1, shift=i // 5)) for i in range(250)]
    assert len(sample(frames, 10.0)) <= 14


def test_a_still_video_is_one_sample() -> None:
    rng = np.random.default_rng(0)
    frames = [frame(i / 25, luma(1).astype(int) + rng.integers(-3, 4, (36, 64))) for i in range(500)]
    found = sample(frames, 20.0)
    assert [(s.start, s.end, s.at) for s in found] == [(0.0, 20.0, 0.0)]


def test_a_small_thing_that_moves_is_seen() -> None:
    frames = []
    for i in range(250):
        grey = np.full((36, 64), 120, np.uint8)
        grey[10:13, i // 5 : i // 5 + 3] = 220  # nine cells of 2304
        frames.append(frame(i / 25, grey))
    assert len(sample(frames, 10.0)) == 10


def test_slow_drift_is_not_swallowed() -> None:
    frames = [frame(i / 10, np.full((36, 64), 60 + i // 10)) for i in range(600)]
    found = sample(frames, 60.0)
    assert 10 <= len(found) <= 25  # a level a second, kept at every third level or so
    for one in found:
        inside = [f for f in frames if one.start <= f.time < one.end]
        assert max(distance(f.luma, one.frame.luma) for f in inside) <= 2 * SamplingSettings().near


def test_the_first_frame_of_a_shot_is_kept_and_ranges_meet_at_the_cut() -> None:
    frames = [frame(i / 25, luma(0 if i < 65 else 1, shift=i // 20)) for i in range(150)]
    found = sample(frames, 6.0)
    assert 2.6 in ats(found)
    cut = next(s for s in found if s.at == pytest.approx(2.6))
    assert cut.start == pytest.approx(2.6)
    check_tiling(found, 6.0)


def test_behind_a_cut_the_first_clean_frame_is_taken() -> None:
    a, b = luma(0).astype(float), luma(1).astype(float)
    frames = [frame(i / 25, a if i < 40 else (a + b) / 2 if i == 40 else b) for i in range(100)]
    found = sample(frames, 4.0)
    assert ats(found) == [0.0, 1.64]
    assert found[1].start == pytest.approx(1.6)


def test_a_flash_is_no_cut() -> None:
    frames = [frame(i / 25, np.full((36, 64), 250) if i in (40, 41) else luma(0)) for i in range(100)]
    assert ats(sample(frames, 4.0)) == [0.0]


def test_cuts_at_every_frame_are_bounded() -> None:
    frames = [frame(i / 25, luma(i)) for i in range(250)]
    assert len(sample(frames, 10.0)) <= 51


def test_fast_motion_is_not_cut_to_pieces() -> None:
    wide = np.kron(np.random.default_rng(3).integers(0, 255, (9, 300)), np.ones((4, 4))).astype(np.uint8)
    frames = [frame(i / 25, wide[:, i * 3 : i * 3 + 64]) for i in range(250)]
    assert len(sample(frames, 10.0)) == 10


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_shortest_videos(count: int) -> None:
    frames = [frame(i * 0.04, luma(i)) for i in range(count)]
    check_tiling(sample(frames, count * 0.04), count * 0.04)
    check_tiling(sample(frames), max(count, 25 if count == 1 else count) * 0.04)


def test_no_frames_no_samples() -> None:
    assert sample([], 5.0) == []


def test_slow_sources_keep_every_frame() -> None:
    frames = [frame(i * 2.5, luma(i)) for i in range(8)]
    found = sample(frames, 20.0)
    assert ats(found) == [i * 2.5 for i in range(8)]


def test_a_video_that_begins_late_is_covered_from_zero() -> None:
    found = sample([frame(2 + i / 25, luma(i // 25)) for i in range(50)], 4.0)
    check_tiling(found, 4.0)
    assert found[0].at == 2.0


def test_fast_takes_a_key_frame_that_came_early_as_a_cut() -> None:
    times = [0, 2, 4, 4.7, 6.7, 8.7]
    frames = [frame(t, luma(0 if t < 4.5 else 1, shift=i)) for i, t in enumerate(times)]
    found = sample(frames, 10.0, fast=True)
    assert ats(found) == times
    assert found[3].start == 4.7
    assert found[1].start == 1.0


@pytest.mark.parametrize("wrong", [{"every": 0}, {"every": -1}, {"every": float("nan")}, {"near": -1}, {"near": 300}])
def test_senseless_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="allowed are"):
        SamplingSettings(**wrong)  # type: ignore[arg-type]


def test_the_fingerprint_tells_settings_apart() -> None:
    kinds = [SamplingSettings(), SamplingSettings(every=2), SamplingSettings(near=1), SamplingSettings(fast=True)]
    assert len({k.fingerprint for k in kinds}) == 4
    assert SamplingSettings().fingerprint == SamplingSettings(every=1.0).fingerprint


def test_it_streams() -> None:
    alive = 0

    def endless() -> object:
        nonlocal alive
        for i in range(10_000):
            alive = i
            yield frame(i / 25, luma(i // 50))

    stream = samples(endless(), SamplingSettings())  # type: ignore[arg-type]
    next(stream)
    assert alive < 80


def test_rendered_shots_are_found_to_the_frame(tmp_path: Path) -> None:
    lengths = [37, 12, 60, 25, 8, 45, 31]
    pictures, truth = [], []
    for shot, length in enumerate(lengths):
        truth.append(len(pictures) / 25)
        pictures += [scene(shot, 320, 192, shift=i) for i in range(length)]
    path = render(tmp_path / "shots.mp4", pictures, options={"crf": "28", "bf": "3"})
    with open_video(path) as reader:
        found = list(samples(reader.frames(), SamplingSettings(), lambda: reader.duration))
        check_tiling(found, reader.duration)
    for time in truth:
        assert any(s.start == pytest.approx(time, abs=1e-3) and s.at - time < 0.05 for s in found), time


def test_samples_hold_their_pictures(tmp_path: Path) -> None:
    path = render(tmp_path / "n.mp4", [numbered(i) for i in range(150)])
    with open_video(path) as reader:
        found = list(samples(reader.frames(), SamplingSettings(near=0), lambda: reader.duration))
    assert [read_number(s.frame.picture(160, 96)) for s in found] == [round(s.at * 25) for s in found]


@pytest.mark.real
def test_real_clips_tile_and_are_never_far_from_a_sample(data: Path) -> None:
    with (data / "manifest.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["set"] in ("long", "speech")][::3]
    for row in rows:
        with open_video(data / row["path"]) as reader:
            seen: list[tuple[float, np.ndarray]] = []

            def watch(reader=reader, seen=seen):  # type: ignore[no-untyped-def]
                for f in reader.frames():
                    seen.append((f.time, f.luma))
                    yield f

            found = list(samples(watch(), SamplingSettings(), lambda reader=reader: reader.duration))
            check_tiling(found, reader.duration)
        gaps = [two.at - one.at for one, two in pairwise(found)]
        near = SamplingSettings().near
        for gap, (one, two) in zip(gaps, pairwise(found), strict=True):
            if gap > 1.1:  # what was left out in between looked like the sample before
                between = [grey for time, grey in seen if one.at < time < two.at - 1]
                close = [distance(grey, one.frame.luma) < 3 * near for grey in between]
                assert np.mean(close) > 0.8, (row["path"], one.at, two.at)
