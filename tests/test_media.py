"""media: exact times, upright square SDR pictures, and a clear word for everything that is no video."""

from __future__ import annotations

import csv
import io
import json
import os
import struct
import subprocess
import threading
import zlib
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from clips import remux
from media_samples import corners, numbered, planar, quadrants, read_number, render, scene
from PIL import Image

from footage.errors import CorruptMedia, MediaError, MediaNotFound, UnsupportedMedia
from footage.media import open_video, probe, read_picture, resize
from footage.types import Frame

TOLERANCE = 0.0011  # the millisecond of Matroska


def frames_of(path: Path, *, fast: bool = False) -> list[Frame]:
    with open_video(path, fast=fast) as reader:
        return list(reader.frames())


def numbers(frames: list[Frame]) -> list[int]:
    return [read_number(f.picture(160, 96)) for f in frames]


def close(picture: np.ndarray, colour: tuple[int, int, int], tolerance: int = 12) -> bool:
    return bool(np.abs(picture.reshape(-1, 3).mean(axis=0) - colour).max() <= tolerance)


def ffmpeg(*arguments: str | Path) -> bytes:
    command = ["ffmpeg", "-v", "error", "-y", *(str(a) for a in arguments)]
    return subprocess.run(command, check=True, capture_output=True, timeout=300).stdout


# Times


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "libx264"), ("a.mkv", "libx264"), ("a.webm", "libvpx-vp9")])
def test_every_frame_once_at_its_time_through_b_frames(tmp_path: Path, name: str, codec: str) -> None:
    options = {"bf": "3", "g": "12"} if codec == "libx264" else {"deadline": "realtime", "cpu-used": "8"}
    path = render(tmp_path / name, [numbered(i) for i in range(60)], codec=codec, options=options)
    with open_video(path) as reader:
        frames = list(reader.frames())
        assert reader.duration == pytest.approx(2.4, abs=TOLERANCE)
        assert (reader.broken_at, reader.warning) == (None, "")
    assert numbers(frames) == list(range(60))
    assert [f.time for f in frames] == pytest.approx([i / 25 for i in range(60)], abs=TOLERANCE)
    assert frames[0].key
    assert not all(f.key for f in frames)


def test_variable_frame_rate_keeps_the_stamps_of_the_file(tmp_path: Path) -> None:
    times = [0.0, 0.04, 0.5, 0.54, 2.0, 7.25, 7.29]
    path = render(tmp_path / "v.mkv", [numbered(i) for i in range(7)], times=times)
    frames = frames_of(path)
    assert numbers(frames) == list(range(7))
    assert [f.time for f in frames] == pytest.approx(times, abs=TOLERANCE)


@pytest.mark.parametrize("name", ["a.ts", "a.mkv", "a.mpg"])
def test_zero_is_where_the_file_starts(tmp_path: Path, name: str) -> None:
    codec = "mpeg2video" if name.endswith("mpg") else "libx264"
    times = [100 + i / 25 for i in range(20)]
    path = render(
        tmp_path / name, [numbered(i) for i in range(20)], times=times if codec == "libx264" else None, codec=codec
    )
    frames = frames_of(path)
    assert numbers(frames) == list(range(20))
    assert [f.time for f in frames] == pytest.approx([i / 25 for i in range(20)], abs=TOLERANCE)


def test_video_that_begins_after_its_sound_begins_later_than_zero(tmp_path: Path) -> None:
    times = [2 + i / 25 for i in range(10)]
    path = render(tmp_path / "late.mkv", [numbered(i) for i in range(10)], times=times, audio=3.0)
    frames = frames_of(path)
    assert frames[0].time == pytest.approx(2.0, abs=0.08)  # the encoder of the sound starts some 60 ms before 0
    assert np.diff([f.time for f in frames]) == pytest.approx(0.04, abs=TOLERANCE * 2)


@pytest.mark.ffmpeg
def test_an_edit_list_cuts_the_beginning(tmp_path: Path) -> None:
    whole = render(tmp_path / "w.mp4", [numbered(i) for i in range(75)], options={"g": "50", "bf": "2"})
    cut = tmp_path / "cut.mp4"
    ffmpeg("-ss", "0.8", "-i", whole, "-c", "copy", cut)
    frames = frames_of(cut)
    assert numbers(frames)[0] == 20
    assert frames[0].time == pytest.approx(0, abs=0.041)
    offset = numbers(frames)[0] / 25 - frames[0].time
    assert [f.time + offset for f in frames] == pytest.approx([n / 25 for n in numbers(frames)], abs=TOLERANCE)


def test_times_increase_where_two_recordings_were_joined(tmp_path: Path) -> None:
    one = render(tmp_path / "1.ts", [numbered(i) for i in range(30)], times=[50 + i / 25 for i in range(30)])
    two = render(tmp_path / "2.ts", [numbered(i) for i in range(30, 60)], times=[1 + i / 25 for i in range(30)])
    joined = tmp_path / "joined.ts"
    joined.write_bytes(one.read_bytes() + two.read_bytes())
    with open_video(joined) as reader:
        frames = list(reader.frames())
        assert reader.duration == pytest.approx(2.4, abs=0.05)
    times = [f.time for f in frames]
    assert numbers(frames) == list(range(60))
    assert all(a < b for a, b in pairwise(times))
    assert times[-1] == pytest.approx(59 / 25, abs=0.05)


def test_a_bare_stream_without_stamps_is_timed_by_its_rate(tmp_path: Path) -> None:
    path = render(tmp_path / "bare.h264", [numbered(i) for i in range(25)], format="h264", options={"bf": "0"})
    frames = frames_of(path)
    assert numbers(frames) == list(range(25))
    assert [f.time for f in frames] == pytest.approx([i / 25 for i in range(25)], abs=0.05)


def test_one_frame_has_a_duration(tmp_path: Path) -> None:
    with open_video(render(tmp_path / "one.mp4", [numbered(5)])) as reader:
        assert numbers(list(reader.frames())) == [5]
        assert reader.duration == pytest.approx(0.04)


def test_fast_decodes_key_frames_and_still_knows_the_end(tmp_path: Path) -> None:
    path = render(tmp_path / "k.mp4", [numbered(i) for i in range(100)], options={"g": "30", "sc_threshold": "0"})
    with open_video(path, fast=True) as reader:
        frames = list(reader.frames())
        assert reader.duration == pytest.approx(4.0, abs=TOLERANCE)
    assert numbers(frames) == [0, 30, 60, 90]
    assert [f.time for f in frames] == pytest.approx([0, 1.2, 2.4, 3.6])


# Pictures


@pytest.mark.parametrize(
    ("turn", "expected"),
    [
        ((0, False, False), "rgbw"),
        ((90, False, False), "gwrb"),
        ((180, False, False), "wbgr"),
        ((-90, False, False), "brwg"),
        ((0, True, False), "grwb"),
        ((0, False, True), "bwrg"),
    ],
)
def test_turned_and_mirrored_upright(tmp_path: Path, turn: tuple[float, bool, bool], expected: str) -> None:
    path = render(tmp_path / "t.mp4", [quadrants()] * 3, turn=turn)
    info = probe(path)
    sideways = abs(turn[0]) == 90
    assert (info.width, info.height) == ((96, 160) if sideways else (160, 96))
    frame = frames_of(path)[1]
    assert (frame.width, frame.height) == (info.width, info.height)
    picture = frame.picture(info.width, info.height)
    assert picture.shape == (info.height, info.width, 3)
    assert corners(picture) == expected


@pytest.mark.ffmpeg
@pytest.mark.parametrize("turn", [(90, True, False), (-90, True, False), (90, False, True), (180, True, False)])
def test_turned_and_mirrored_as_ffmpeg_does(tmp_path: Path, turn: tuple[float, bool, bool]) -> None:
    path = render(tmp_path / "t.mp4", [quadrants()] * 2, turn=turn)
    info = probe(path)
    raw = ffmpeg("-i", path, "-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
    judge = np.frombuffer(raw, np.uint8).reshape(info.height, info.width, 3)
    assert corners(frames_of(path)[0].picture(info.width, info.height)) == corners(judge)


@pytest.mark.parametrize(("sar", "width"), [(Fraction(2), 320), (Fraction(16, 15), 171), (Fraction(1, 2), 80)])
def test_pixels_are_square(tmp_path: Path, sar: Fraction, width: int) -> None:
    path = render(tmp_path / "s.mp4", [quadrants()] * 2, sar=sar)
    assert (probe(path).width, probe(path).height) == (width, 96)


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize(("matrix", "full"), [(1, False), (1, True), (6, False), (9, False)])
def test_matrix_and_range_of_the_tags(tmp_path: Path, matrix: int, full: bool, deep: bool) -> None:
    weights = {1: (0.2126, 0.0722), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}[matrix]
    colours = [(200, 30, 40), (30, 180, 60), (240, 240, 240), (16, 16, 16)]
    for colour in colours:
        planes = ycc(colour, weights, full, bits=10 if deep else 8)
        if deep:
            path = render_ycc(tmp_path / "c.mkv", planes, matrix, full)
        else:
            tags = {"colorspace": matrix, "color_range": 2 if full else 1}
            options = {"crf": "1"}
            path = render(
                tmp_path / "c.mp4", [planes] * 2, pix_fmt="yuv444p", layout="yuv444p", options=options, tags=tags
            )
        picture = frames_of(path)[0].picture(32, 32)
        assert close(picture, colour, 4), (colour, picture[0, 0])


def ycc(colour: tuple[int, int, int], weights: tuple[float, float], full: bool, bits: int) -> np.ndarray:
    """Planes (3, 64, 64) of one colour, by the definition of ITU-T H.273 and not by swscale."""
    red, green, blue = (c / 255 for c in colour)
    kr, kb = weights
    y = kr * red + (1 - kr - kb) * green + kb * blue
    cb, cr = (blue - y) / (2 - 2 * kb), (red - y) / (2 - 2 * kr)
    scale, top = 1 << (bits - 8), (1 << bits) - 1
    half = 128 * scale
    if full:
        values = (y * top, cb * top + half, cr * top + half)
    else:
        values = (219 * scale * y + 16 * scale, 224 * scale * cb + half, 224 * scale * cr + half)
    plane = np.empty((3, 64, 64), np.uint8 if bits == 8 else np.uint16)
    for i, value in enumerate(values):
        plane[i] = min(round(value), top)
    return plane


def render_ycc(path: Path, planes: np.ndarray, matrix: int, full: bool, **tags: int) -> Path:
    """Two frames of 10-bit planes, lossless."""
    frames = [planar(planes, "yuv444p10le") for _ in range(2)]
    settings = {"colorspace": matrix, "color_range": 2 if full else 1, **tags}
    return render(path, frames, codec="ffv1", pix_fmt="yuv444p10le", tags=settings)


def pq(nits: float) -> float:
    """SMPTE ST 2084, written out again here."""
    power = (nits / 10000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375


@pytest.mark.parametrize(("nits", "low", "high"), [(0, 0, 3), (50, 120, 150), (203, 185, 230), (1000, 250, 255)])
def test_pq_comes_out_as_a_sane_grey(tmp_path: Path, nits: float, low: int, high: int) -> None:
    code = round(pq(nits) * 255)
    planes = ycc((code, code, code), (0.2627, 0.0593), False, bits=10)
    path = render_ycc(tmp_path / "pq.mkv", planes, 9, False, color_trc=16, color_primaries=9)
    picture = frames_of(path)[0].picture(16, 16)
    assert low <= picture.mean() <= high
    assert np.ptp(picture.reshape(-1, 3).mean(axis=0)) < 3


def test_hlg_is_brighter_than_its_code_and_keeps_order(tmp_path: Path) -> None:
    means = []
    for code in (0, 64, 128, 191, 255):
        planes = ycc((code, code, code), (0.2627, 0.0593), False, bits=10)
        path = render_ycc(tmp_path / f"{code}.mkv", planes, 9, False, color_trc=18, color_primaries=9)
        means.append(frames_of(path)[0].picture(16, 16).mean())
    assert means == sorted(means)
    assert means[0] <= 3
    assert 185 <= means[3] <= 230  # 75 % HLG is the reference white of BT.2408
    assert means[4] >= 250


def test_hdr_red_stays_red(tmp_path: Path) -> None:
    code = round(pq(100) * 255)
    planes = ycc((code, round(code * 0.5), round(code * 0.4)), (0.2627, 0.0593), False, bits=10)
    path = render_ycc(tmp_path / "red.mkv", planes, 9, False, color_trc=16, color_primaries=9)
    red, green, blue = frames_of(path)[0].picture(8, 8)[4, 4]
    assert red > 150
    assert max(green, blue) < red // 2


# Y', Cb, Cr in narrow range whose R'G'B' lies at the borders of the cube or far outside of it.
SATURATED = [(300, 440, 800), (500, 300, 300), (150, 850, 500), (940, 960, 64), (700, 64, 960), (600, 960, 960)]


def sdr(ycc: tuple[int, int, int], transfer: int) -> np.ndarray:
    """What a colour looks like: BT.2020 Y'CbCr to R'G'B', clipped; PQ or HLG to light (BT.2100); the knee of BT.2390 on
    the largest component, from 1000 to 203 cd/m2; BT.2407 to BT.709; sRGB."""
    y, cb, cr = (ycc[0] - 64) / 876, (ycc[1] - 512) / 896, (ycc[2] - 512) / 896
    red, blue = y + 1.4746 * cr, y + 1.8814 * cb
    code = np.clip([red, (y - 0.2627 * red - 0.0593 * blue) / 0.6780, blue], 0, 1)
    if transfer == 16:
        light = np.array([unpq(c) for c in code])
    else:
        low, high = code**2 / 3, (np.exp((code - 0.55991073) / 0.17883277) + 0.28466892) / 12
        scene = np.where(code <= 0.5, low, high)
        light = 1000 * (scene @ [0.2627, 0.6780, 0.0593]) ** 0.2 * scene
    top = float(light.max())
    e1, ceiling = min(pq(top) / pq(1000), 1.0), pq(203) / pq(1000)
    start = 1.5 * ceiling - 0.5
    t = (e1 - start) / (1 - start)
    hermite = (2 * t**3 - 3 * t**2 + 1) * start + (t**3 - 2 * t**2 + t) * (1 - start) + (-2 * t**3 + 3 * t**2) * ceiling
    light = light / max(top, 1e-6) * unpq((e1 if e1 < start else hermite) * pq(1000)) / 203
    matrix = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]])
    shown = np.clip(matrix @ light, 0, 1)
    return 255 * np.where(shown <= 0.0031308, 12.92 * shown, 1.055 * shown ** (1 / 2.4) - 0.055)


def unpq(code: float) -> float:
    power = code ** (1 / 78.84375)
    return 10000 * (max(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power)) ** (1 / 0.1593017578125)


@pytest.mark.parametrize("pix_fmt", ["yuv420p10le", "yuv422p10le", "yuv444p10le"])
@pytest.mark.parametrize("transfer", [16, 18])
def test_saturated_hdr_colours_are_clipped_and_not_wrapped(tmp_path: Path, transfer: int, pix_fmt: str) -> None:
    down, across = {"yuv420p10le": (2, 2), "yuv422p10le": (1, 2), "yuv444p10le": (1, 1)}[pix_fmt]
    grid = np.array(SATURATED, np.uint16).T.reshape(3, 2, 3).repeat(32, axis=1).repeat(32, axis=2)
    planes = [grid[0], grid[1, ::down, ::across], grid[2, ::down, ::across]]
    tags = {"colorspace": 9, "color_range": 1, "color_trc": transfer, "color_primaries": 9}
    path = render(tmp_path / "s.mkv", [planar(planes, pix_fmt)] * 2, codec="ffv1", pix_fmt=pix_fmt, tags=tags)
    frame = frames_of(path)[0]
    for width, height in ((96, 64), (48, 64), (96, 32), (48, 32), (192, 128)):
        picture = frame.picture(width, height)
        for number, colour in enumerate(SATURATED):
            seen = picture[height // 4 + number // 3 * height // 2, width // 6 + number % 3 * width // 3]
            assert np.abs(seen - sdr(colour, transfer)).max() < 4, (width, height, colour, seen)


def rpu(profile: int, full: bool) -> bytes:
    """The metadata of a Dolby Vision frame that changes nothing (ETSI GS CCM 001, 5.3), as a NAL unit of HEVC."""

    def golomb(value: int) -> str:
        digits = f"{value + 1:b}"
        return "0" * (len(digits) - 1) + digits

    head = f"{2:06b}{18:011b}{profile:04b}{0:04b}" + "1000" + golomb(23) + f"01{full:d}"
    depths = golomb(2) + golomb(2) + golomb(4) + "0000010" + "0"
    curves = golomb(0) * 3 + (golomb(0) + f"{0:010b}{1023:010b}") * 3 + golomb(0) * 2
    identity = (golomb(0) * 2 + "0" + golomb(0) + "0" * 23 + "010" + "0" * 23) * 3
    bits = head + depths + curves + identity
    bits += "0" * (-len(bits) % 8)
    data = int(bits, 2).to_bytes(len(bits) // 8, "big")
    unit = bytearray(b"\0\0\0\1\x7c\x01\x19")
    for byte in data + zlib.crc32(data).to_bytes(4, "big") + b"\x80":
        if byte < 4 and unit[-2:] == b"\0\0":  # emulation prevention
            unit.append(3)
        unit.append(byte)
    return bytes(unit)


def hevc(path: Path) -> Path:
    if "libx265" not in av.codecs_available:
        pytest.skip("this PyAV has no libx265")
    pictures = [numbered(i) for i in range(5)]
    options = {"x265-params": "log-level=none"}
    return render(path, pictures, codec="libx265", pix_fmt="yuv420p10le", options=options)


@pytest.mark.parametrize("name", ["d.ts", "d.mkv", "d.mp4"])
def test_dolby_vision_without_an_ordinary_picture_is_named(tmp_path: Path, name: str) -> None:
    plain = hevc(tmp_path / "plain.ts")
    for profile, full, warns in ((0, True, True), (1, False, False)):
        with open_video(remux(plain, tmp_path / name, "", rpu(profile, full))) as reader:
            assert len(list(reader.frames())) == 5
            assert reader.broken_at is None
            assert ("Dolby Vision profile 5" in reader.warning) is warns


@pytest.mark.parametrize(("matrix", "warns"), [(2, True), (9, False)])
def test_dolby_vision_is_told_by_the_tag_of_its_codec_too(tmp_path: Path, matrix: int, warns: bool) -> None:
    path = tmp_path / "t.mp4"
    options = {"x265-params": f"log-level=none:colormatrix={'bt2020nc' if matrix == 9 else 'undef'}"}
    pictures = [numbered(i) for i in range(5)]
    hevc(path)
    render(path, pictures, codec="libx265", pix_fmt="yuv420p10le", options=options, tags={"colorspace": matrix})
    data = path.read_bytes()
    assert data.count(b"hev1") == 1
    path.write_bytes(data.replace(b"hev1", b"dvh1"))
    with open_video(path) as reader:
        assert ("Dolby Vision profile 5" in reader.warning) is warns
        assert numbers(list(reader.frames())) == list(range(5))


@pytest.mark.ffmpeg
def test_interlaced_pictures_have_no_combs(tmp_path: Path) -> None:
    moving = tmp_path / "i.mpg"
    source = "testsrc2=size=320x240:rate=50"
    ffmpeg("-f", "lavfi", "-i", source, "-t", "1", "-vf", "interlace", "-flags", "+ildct+ilme", "-c:v", "mpeg2video",
           "-q:v", "2", moving)  # fmt: skip
    frame = frames_of(moving)[10]
    picture = frame.picture(320, 240).astype(int)
    combs = np.abs(picture[1:-1] - (picture[:-2] + picture[2:]) / 2).mean()
    with av.open(str(moving)) as container:
        plain = next(f for i, f in enumerate(container.decode(video=0)) if i == 10).to_ndarray(format="rgb24")
    raw = plain.astype(int)
    assert combs < 0.6 * np.abs(raw[1:-1] - (raw[:-2] + raw[2:]) / 2).mean()
    assert frame.luma.shape == (36, 64)


@pytest.mark.ffmpeg
@pytest.mark.parametrize("codec", ["libvpx", "libvpx-vp9"])
def test_alpha_lies_over_black(tmp_path: Path, codec: str) -> None:
    if codec not in av.codecs_available:
        pytest.skip("this PyAV has no libvpx")
    path = tmp_path / "alpha.webm"
    ffmpeg("-f", "lavfi", "-i", "color=c=red@0.5:size=64x64:rate=10,format=yuva420p", "-t", "1", "-c:v", codec,
           "-auto-alt-ref", "0", path)  # fmt: skip
    picture = frames_of(path)[3].picture(32, 32)
    assert close(picture, (127, 0, 0), 10)


def test_luma_is_small_and_follows_the_picture(tmp_path: Path) -> None:
    path = render(tmp_path / "l.mp4", [scene(i, 640, 360) for i in range(4)], options={"g": "1", "crf": "10"})
    for index, frame in enumerate(frames_of(path)):
        assert frame.luma.shape == (36, 64)
        assert frame.luma.dtype == np.uint8
        grey = scene(index, 640, 360) @ np.array([0.299, 0.587, 0.114])
        cells = 16 + grey.reshape(36, 10, 64, 10).mean(axis=(1, 3)) * 219 / 255
        assert np.abs(frame.luma - cells).mean() < 5


@pytest.mark.parametrize("pix_fmt", ["yuv420p10le", "yuv422p", "yuv444p", "gray", "bgr0", "yuv422p10le", "gray16le"])
def test_luma_and_pictures_of_other_layouts(tmp_path: Path, pix_fmt: str) -> None:
    path = render(tmp_path / "x.mkv", [quadrants()] * 2, codec="ffv1", pix_fmt=pix_fmt)
    frame = frames_of(path)[1]
    if not pix_fmt.startswith("gray"):
        assert corners(frame.picture(160, 96)) == "rgbw"
    assert frame.luma[30, 60] > frame.luma[5, 5] + 60


@pytest.mark.parametrize(("width", "height"), [(2, 2), (16, 16), (66, 38), (2, 300), (400, 2)])
def test_tiny_and_narrow_videos(tmp_path: Path, width: int, height: int) -> None:
    pictures = [np.full((height, width, 3), v, np.uint8) for v in (30, 220)]
    frames = frames_of(render(tmp_path / "tiny.mkv", pictures, codec="ffv1", pix_fmt="yuv444p"))
    assert [f.luma.shape for f in frames] == [(36, 64)] * 2
    assert frames[0].luma.mean() < 60
    assert frames[1].luma.mean() > 180
    assert frames[1].picture(64, 64).mean() == pytest.approx(220, abs=3)


def test_size_change_in_mid_stream_is_survived(tmp_path: Path) -> None:
    one = render(tmp_path / "1.ts", [numbered(i) for i in range(20)])
    two = render(
        tmp_path / "2.ts", [numbered(i, 320, 240) for i in range(20, 40)], times=[5 + i / 25 for i in range(20)]
    )
    both = tmp_path / "both.ts"
    both.write_bytes(one.read_bytes() + two.read_bytes())
    frames = frames_of(both)
    assert numbers(frames) == list(range(40))
    assert {(f.width, f.height) for f in frames} == {(160, 96), (320, 240)}
    assert {f.luma.shape for f in frames} == {(36, 64)}


def test_frames_outlive_the_reader_and_serve_many_threads(tmp_path: Path) -> None:
    path = render(tmp_path / "a.mp4", [numbered(i) for i in range(30)])
    frames = frames_of(path)
    found: dict[int, int] = {}

    def work(part: list[int]) -> None:
        for i in part:
            found[i] = read_number(frames[i].picture(160 + i, 96))

    threads = [threading.Thread(target=work, args=(list(range(k, 30, 3)),)) for k in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert found == {i: i for i in range(30)}


# Animations


@pytest.mark.parametrize(
    ("format", "name"), [("GIF", "a.gif"), ("PNG", "a.png"), ("WEBP", "a.webp"), ("WEBP", "a.jpg")]
)
def test_animations_are_video(tmp_path: Path, format: str, name: str) -> None:
    path = tmp_path / name
    images = [Image.fromarray(numbered(i)) for i in range(6)]
    options = {"lossless": True} if format == "WEBP" else {}
    images[0].save(path, format, save_all=True, append_images=images[1:], duration=200, loop=0, **options)
    with open_video(path) as reader:
        frames = list(reader.frames())
        assert reader.duration == pytest.approx(1.2, abs=0.01)
    assert numbers(frames) == list(range(6))
    assert [f.time for f in frames] == pytest.approx([i * 0.2 for i in range(6)], abs=0.011)


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP", "JPEG", "BMP", "TIFF"])
def test_a_still_picture_is_no_video(tmp_path: Path, format: str) -> None:
    path = tmp_path / "still.mp4"
    Image.fromarray(numbered(3)).save(path, format)
    with pytest.raises(UnsupportedMedia, match="a still picture"):
        open_video(path)


# What is no video


def test_missing_and_unreadable(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere.mp4", Path("nul\0byte.mp4"), tmp_path / ("x" * 300)):
        with pytest.raises(MediaNotFound):
            open_video(path)
    with pytest.raises(FileNotFoundError):
        probe(tmp_path / "nowhere.mp4")


@pytest.mark.skipif(os.name == "nt", reason="no FIFOs")
def test_pipes_and_devices_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    for path in (tmp_path / "pipe.mp4", Path("/dev/zero")):
        with pytest.raises(UnsupportedMedia, match="pipe or a device"):
            open_video(path)


CONTENTS = {
    "empty file": b"",
    "text": b"dear diary,\nit rained. " * 200,
    "text ": b"#EXTM3U\n#EXTINF:9,\nhttp://192.0.2.1/x.ts\n#EXT-X-ENDLIST\n",
    "document": b"%PDF-1.7\n" + bytes(range(256)) * 20,
    "unknown content": bytes(range(1, 250)) * 40,
}


@pytest.mark.parametrize("name", ["a.mp4", "a.txt", "a.mkv", "a%03d.jpg"])
@pytest.mark.parametrize("kind", CONTENTS)
def test_other_files_by_content_whatever_their_name(tmp_path: Path, kind: str, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(CONTENTS[kind])
    with pytest.raises(UnsupportedMedia, match=kind.strip()) as caught:
        open_video(path)
    assert caught.value.uri == str(path)


def test_a_folder_is_no_video(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedMedia, match="a folder"):
        open_video(tmp_path)


def test_sound_without_pictures_and_cover_art(tmp_path: Path) -> None:
    path = tmp_path / "sound.m4a"
    with av.open(str(path), "w", format="mp4") as out:
        sound = out.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), "fltp", "mono")
        frame.sample_rate = 16000
        out.mux(sound.encode(frame))
        out.mux(sound.encode(None))
    with pytest.raises(UnsupportedMedia, match="audio only"):
        open_video(path)
    covered = tmp_path / "covered.mp3"
    covered.write_bytes(mp3_with_cover())
    with pytest.raises(UnsupportedMedia, match="audio only"):
        open_video(covered)


def mp3_with_cover() -> bytes:
    """An ID3 tag with a PNG in it, and silence behind it."""
    png = io.BytesIO()
    Image.fromarray(numbered(1)).save(png, "PNG")
    body = b"\0image/png\0\x03\0" + png.getvalue()
    frame = b"APIC" + struct.pack(">I", len(body)) + b"\0\0" + body
    size = len(frame)
    synchsafe = bytes((size >> shift) & 0x7F for shift in (21, 14, 7, 0))
    silence = (b"\xff\xfb\x10\xc4" + b"\0" * 100) * 40
    return b"ID3\x03\0\0" + synchsafe + frame + silence


def test_names_that_look_like_something_else(tmp_path: Path) -> None:
    for name in ("http:x", "pipe:0", "a%03d.mp4", "concat:a|b", "sp ace ü.mp4", "-v.mp4"):
        path = render(tmp_path / "plain.mkv", [numbered(7)] * 2).rename(tmp_path / name)
        assert numbers(frames_of(path)) == [7, 7]


# Damage


def test_what_comes_before_and_behind_damage_is_kept(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    noise = [
        np.maximum(numbered(i), 0) // 2 * 2 + rng.integers(0, 20, (96, 160, 3), dtype=np.uint8) for i in range(100)
    ]
    path = render(tmp_path / "d.mp4", noise, options={"g": "10", "bf": "0"})
    with av.open(str(path)) as container:
        packets = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    data = bytearray(path.read_bytes())
    for pos, size in packets[40:50]:
        data[pos : pos + size] = bytes(size)
    path.write_bytes(data)
    with open_video(path) as reader:
        frames = list(reader.frames())
        assert reader.broken_at == pytest.approx(1.6, abs=0.3)
        assert "damaged at 1." in reader.warning
    seen = set(numbers(frames))
    assert set(range(38)) <= seen
    assert set(range(50, 98)) <= seen
    assert [f.time for f in frames] == pytest.approx([n / 25 for n in numbers(frames)], abs=0.05)


def four_seconds(path: Path, **options: Any) -> Path:
    codec = {".flv": "flv1", ".webm": "libvpx"}.get(path.suffix, "mpeg4")
    faststart = {"movflags": "faststart"} if path.suffix == ".mp4" else {}
    pictures = (numbered(i) for i in range(100))
    return render(path, pictures, codec=codec, options={"g": "10"}, container=faststart, **options)


@pytest.mark.parametrize("audio", [0.0, 4.0])
@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("name", ["c.mkv", "c.ts", "c.avi", "c.flv", "c.webm", "c.mp4"])
def test_a_file_cut_short_gives_what_it_has_and_says_so(tmp_path: Path, name: str, fast: bool, audio: float) -> None:
    if name == "c.webm" and audio:
        pytest.skip("AAC does not go into WebM")
    path = four_seconds(tmp_path / name, audio=audio)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10 + 1])
    with open_video(path, fast=fast) as reader:
        frames = list(reader.frames())
        assert 1.2 < reader.duration < 3
        assert reader.broken_at == reader.duration
        assert reader.warning.startswith(("ends at ", "cut off at "))
    if not fast:
        assert 30 < len(frames) < 80
        assert numbers(frames)[:30] == list(range(30))


@pytest.mark.parametrize("name", ["w.mkv", "w.ts", "w.avi", "w.flv", "w.mp4", "w.mov"])
def test_a_whole_file_is_not_called_short(tmp_path: Path, name: str) -> None:
    """Though its sound goes on for seconds, and its time starts late."""
    codec = "flv1" if name.endswith("flv") else "mpeg4"
    pictures = [numbered(i) for i in range(50)]
    for audio in (0.0, 9.0):
        late = [100 + i / 25 for i in range(50)] if name in ("w.mkv", "w.ts") else None
        path = render(tmp_path / name, pictures, codec=codec, times=late, audio=audio)
        for fast in (False, True):
            with open_video(path, fast=fast) as reader:
                assert len(list(reader.frames())) == 50 or fast
                assert (reader.broken_at, reader.warning) == (None, ""), (audio, fast)


@pytest.mark.ffmpeg
@pytest.mark.parametrize("name", ["s.mkv", "s.mp4", "s.webm"])
def test_a_last_picture_that_stands_for_long_is_no_break(tmp_path: Path, name: str) -> None:
    """The container says how long it stays; a Matroska block does not."""
    times = [0.0, 0.5, 1.0, 7.0, 20.0]
    codec = "libvpx" if name.endswith("webm") else "libx264"
    pictures = render(tmp_path / "v.mkv", [numbered(i) for i in range(5)], times=times, codec=codec)
    path = tmp_path / name
    ffmpeg("-i", pictures, "-f", "lavfi", "-i", "anullsrc=r=48000:cl=mono:d=60", "-map", "0:v", "-map", "1:a",
           "-c:v", "copy", "-c:a", "libopus", path)  # fmt: skip
    with open_video(path) as reader:
        assert numbers(list(reader.frames())) == list(range(5))
        assert (reader.broken_at, reader.warning) == (None, "")


@pytest.mark.parametrize("name", ["i.mkv", "i.avi"])
def test_an_index_that_is_cut_off_takes_nothing_from_the_video(tmp_path: Path, name: str) -> None:
    path = four_seconds(tmp_path / name)
    path.write_bytes(path.read_bytes()[:-30])
    with open_video(path) as reader:
        assert numbers(list(reader.frames())) == list(range(100))
        assert (reader.broken_at, reader.warning) == (None, "")


def test_what_was_appended_to_a_file_is_no_break(tmp_path: Path) -> None:
    for name in ("a.ts", "a.mkv", "a.avi", "a.mp4"):
        path = four_seconds(tmp_path / name)
        path.write_bytes(path.read_bytes() + b"\0" * 1000)
        with open_video(path) as reader:
            assert len(list(reader.frames())) == 100
            assert reader.broken_at is None, (name, reader.warning)


def test_a_file_without_its_index_is_corrupt(tmp_path: Path) -> None:
    path = render(tmp_path / "m.mp4", [numbered(i) for i in range(50)])
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(CorruptMedia) as caught:
        open_video(path)
    assert caught.value.hint


def test_random_damage_never_leaks_a_foreign_error(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for name, codec in (("f.mp4", "libx264"), ("f.mkv", "mpeg4"), ("f.ts", "mpeg2video"), ("f.avi", "mjpeg")):
        pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        whole = render(tmp_path / name, [numbered(i) for i in range(30)], codec=codec, pix_fmt=pix_fmt).read_bytes()
        for trial in range(25):
            data = np.frombuffer(whole, np.uint8).copy()
            data[rng.integers(0, len(data), rng.integers(1, 200))] = rng.integers(0, 256)
            path = tmp_path / f"{trial}{name}"
            path.write_bytes(data[: rng.integers(1, len(data) + 1)].tobytes())
            try:
                with open_video(path, fast=bool(trial % 2)) as reader:
                    for frame in reader.frames():
                        assert frame.picture(16, 16).shape == (16, 16, 3)
            except MediaError:
                pass


def test_beat_is_called_all_along(tmp_path: Path) -> None:
    beats = []
    path = render(tmp_path / "b.mp4", [numbered(i) for i in range(30)])
    with open_video(path, beat=lambda: beats.append(1)) as reader:
        sum(1 for _ in reader.frames())
    assert len(beats) >= 30


def test_a_beat_that_raises_stops_the_reader(tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    def beat() -> None:
        raise Stop

    with pytest.raises(Stop):
        open_video(render(tmp_path / "b.mp4", [numbered(1)]), beat=beat)


def test_probe_tells_what_the_container_says(tmp_path: Path) -> None:
    path = render(tmp_path / "p.mp4", [numbered(i) for i in range(50)], audio=2.0)
    info = probe(path)
    assert (info.codec, info.width, info.height, info.fps) == ("h264", 160, 96, 25.0)
    assert info.duration == pytest.approx(2.0, abs=0.01)
    assert info.has_audio
    assert not info.has_subtitles
    assert info.recorded_at is None


# Pictures from disk


def test_read_picture_from_every_kind_of_source(tmp_path: Path) -> None:
    truth = quadrants()
    image = Image.fromarray(truth)
    image.save(tmp_path / "a.png")
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    for source in (tmp_path / "a.png", str(tmp_path / "a.png"), buffer.getvalue(), image, truth, truth / 255.0):
        assert np.abs(read_picture(source).astype(int) - truth).max() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path: Path, orientation: int) -> None:
    # How a camera stores an upright picture for each value of the tag (EXIF 2.32, 4.6.4 A)
    upright = quadrants()
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.swapaxes(0, 1),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / "e.jpg", exif=exif, quality=95)
    picture = read_picture(tmp_path / "e.jpg")
    assert picture.shape == (96, 160, 3)
    assert corners(picture) == "rgbw"


def test_read_picture_of_every_mode(tmp_path: Path) -> None:
    rgb = Image.fromarray(np.full((20, 30, 3), (200, 100, 50), np.uint8))
    cases = {
        "P": (rgb.convert("P"), (200, 100, 50)),
        "L": (rgb.convert("L"), (124, 124, 124)),
        "1": (Image.new("1", (30, 20), 1), (255, 255, 255)),
        "CMYK": (rgb.convert("CMYK"), (200, 100, 50)),
        "half": (Image.new("RGBA", (30, 20), (200, 100, 50, 128)), (100, 50, 25)),
        "LA": (Image.new("LA", (30, 20), (200, 128)), (100, 100, 100)),
        "deep": (Image.fromarray(np.full((20, 30), 32768, np.uint16)), (128, 128, 128)),
    }
    for name, (image, colour) in cases.items():
        path = tmp_path / f"{name}.{'tif' if name == 'CMYK' else 'png'}"
        image.save(path)
        assert close(read_picture(path), colour, 12), name
        assert close(read_picture(image), colour, 12), name


def test_read_picture_takes_the_first_frame_of_an_animation(tmp_path: Path) -> None:
    images = [Image.fromarray(numbered(i)) for i in (9, 1, 2)]
    images[0].save(tmp_path / "a.gif", save_all=True, append_images=images[1:])
    assert read_number(read_picture(tmp_path / "a.gif")) == 9


def test_what_is_no_picture(tmp_path: Path) -> None:
    video = render(tmp_path / "v.jpg", [numbered(i) for i in range(5)], format="mp4")
    text, empty, cut = tmp_path / "t.png", tmp_path / "e.png", tmp_path / "c.png"
    text.write_bytes(CONTENTS["text"])
    empty.write_bytes(b"")
    Image.fromarray(scene(1)).save(cut)
    cut.write_bytes(cut.read_bytes()[:300])
    for source, kind, message in (
        (video, UnsupportedMedia, "not a picture"),
        (text, UnsupportedMedia, "not a picture"),
        (empty, UnsupportedMedia, "empty file"),
        (cut, CorruptMedia, "damaged"),
        (tmp_path, UnsupportedMedia, "folder"),
        (tmp_path / "none.png", MediaNotFound, "no such file"),
        (b"", UnsupportedMedia, "not a picture"),
        (b"hello", UnsupportedMedia, "not a picture"),
        (np.zeros((3, 4, 7), np.uint8), UnsupportedMedia, "not a picture"),
        (np.zeros((0, 4, 3), np.uint8), UnsupportedMedia, "not a picture"),
        (np.array(["a"]), UnsupportedMedia, "not a picture"),
    ):
        with pytest.raises(kind, match=message):
            read_picture(source)


def test_a_decompression_bomb_is_refused(tmp_path: Path) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    bomb = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )
    path = tmp_path / "bomb.png"
    path.write_bytes(bomb)
    for source in (path, bomb):
        with pytest.raises(UnsupportedMedia, match="too large"):
            read_picture(source)
    with pytest.raises(MediaError):
        open_video(path)


def test_resize_averages_areas() -> None:
    board = (np.indices((64, 96)).sum(axis=0) % 2 * 255).astype(np.uint8)
    picture = np.repeat(board[..., None], 3, axis=2)
    small = resize(picture, 12, 8)
    assert small.shape == (8, 12, 3)
    assert np.abs(small.astype(int) - 127).max() <= 2
    assert resize(picture, 96, 64) is picture
    assert resize(picture, 200, 100).shape == (100, 200, 3)


# Real files


def ffprobe(path: Path, stream: int) -> tuple[float, list[float | None]]:
    """(start of the container, stamps of the frames), as ffprobe has them."""
    command = ["ffprobe", "-v", "quiet", "-of", "json", "-select_streams", str(stream), "-show_entries",
               "format=start_time:frame=best_effort_timestamp_time", str(path)]  # fmt: skip
    told = json.loads(subprocess.run(command, capture_output=True, check=False, timeout=300).stdout or "{}")
    stamps = [f.get("best_effort_timestamp_time") for f in told.get("frames", [])]
    return float(told.get("format", {}).get("start_time", 0)), [None if s is None else float(s) for s in stamps]


def rows(data: Path) -> list[dict[str, str]]:
    with (data / "manifest.csv").open(encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row["set"] != "stills"]


# What is refused, and how; every other file of the collection yields frames.
REFUSED = {
    "PHP-FFMpeg_WrongFile.mp4": (CorruptMedia, "damaged"),
    "fate-suite_dvbsubtest_filter.mp4": (UnsupportedMedia, "track is empty"),
    "fate-suite_pmtchange.mp4": (CorruptMedia, "no frame"),
    "fate-suite_wmv_drm.wmv": (UnsupportedMedia, "encrypted"),
    "imageio-bina_imageio_issue245.gif": (UnsupportedMedia, "still picture"),
    "media_sample_audio_only.mp4": (UnsupportedMedia, "audio only"),
    "mp4parse-rus_chunk_out_of_range.mp4": (CorruptMedia, "damaged"),
    "mp4parse-rus_short-cenc.mp4": (UnsupportedMedia, "encrypted"),
    "mp4parse-rus_zero_empty_stsc.mp4": (CorruptMedia, "no frame"),
    "photoprism_norway-kjetil-moe.webp": (UnsupportedMedia, "still picture"),
    "photoprism_quicktime-jpeg.mov": (UnsupportedMedia, "track is empty"),
    "small_AudioVideoInterleave.avi": (UnsupportedMedia, "track is empty"),
    "small_FlashVideo.flv": (CorruptMedia, "damaged"),
    "small_Mpeg4.mp4": (UnsupportedMedia, "no video in it"),
    "small_WindowsMediaVideo.wmv": (UnsupportedMedia, "track is empty"),
    "small_gif-transparent.gif": (UnsupportedMedia, "still picture"),
    "small_gif.gif": (UnsupportedMedia, "still picture"),
    "small_mp4-with-audio.mp4": (UnsupportedMedia, "audio only"),
    "small_webp.webp": (UnsupportedMedia, "still picture"),
    "streamio-ffm_broken.mp4": (CorruptMedia, "damaged"),
    "streamio-ffm_empty.flv": (CorruptMedia, "damaged"),
}
# Where damage begins, in seconds, for the files that a player shows in part.
BROKEN = {
    "decord_corrupted.mp4": 2.8,
    "fate-suite_displaymatrix.mp4": 1.06,
    "fate-suite_mov-frag-encrypted.mp4": 0.92,
    "fate-suite_mpeg2_field_encoding.mp4": 1.6,  # the first 800,000 bytes of something longer
    "mp4parse-rus_no_timescale.mp4": 0.3,
}


@pytest.mark.real
def test_every_awkward_file_yields_frames_or_the_right_refusal(data: Path) -> None:
    seen = set()
    for path in sorted((data / "awkward").iterdir()):
        if path.name in REFUSED:
            kind, message = REFUSED[path.name]
            with pytest.raises(kind, match=message):
                open_video(path)
            seen.add(path.name)
            continue
        with open_video(path) as reader:
            times = []
            for frame in reader.frames():
                times.append(frame.time)
                assert frame.luma.shape == (36, 64)
            assert frame.picture(32, 24).shape == (24, 32, 3)
            assert all(a < b for a, b in pairwise(times)), path.name
            assert reader.duration > times[-1]
            if path.name in BROKEN:
                assert reader.broken_at == pytest.approx(BROKEN[path.name], abs=0.4), path.name
                assert reader.warning
            else:
                assert reader.broken_at is None, (path.name, reader.warning)
    assert seen == set(REFUSED)


@pytest.mark.real
def test_no_other_real_clip_is_called_broken(data: Path) -> None:
    checked = 0
    for row in rows(data):
        path = data / row["path"]
        if row["set"] == "awkward":
            continue
        with open_video(path) as reader:
            last = max(f.time for f in reader.frames())
            assert (reader.broken_at, reader.warning) == (None, ""), path.name
            assert reader.duration > last
        checked += 1
    assert checked > 100


@pytest.mark.real
@pytest.mark.ffmpeg
def test_times_agree_with_ffprobe(data: Path) -> None:
    # Files that libav 8 and the program's version read differently: damage, and a start before 0.
    known = {"mp4parse-rus_no_timescale.mp4", "fate-suite_displaymatrix.mp4", "media_sample_with_chapters.mkv"}
    checked = 0
    for row in rows(data)[::12]:
        path = data / row["path"]
        if not row["status"].startswith("ok") or path.name in known | set(REFUSED) | set(BROKEN):
            continue
        with open_video(path) as reader:
            mine = [f.time for f in reader.frames()]
        start, judge = ffprobe(path, video_index(path))
        assert len(mine) == len(judge), path.name
        # ffprobe has no time for the last frames of an AVI; they follow at the usual distance
        pairs = [(a, b - start) for a, b in zip(mine, judge, strict=True) if b is not None]
        assert len(pairs) >= len(mine) - 3, path.name
        assert [a for a, _ in pairs] == pytest.approx([b for _, b in pairs], abs=TOLERANCE), path.name
        checked += 1
    assert checked > 12


def video_index(path: Path) -> int:
    with av.open(str(path), metadata_errors="ignore") as container:
        return container.streams.best("video").index


@pytest.mark.real
@pytest.mark.ffmpeg
@pytest.mark.parametrize(
    "name",
    ["decord_video_180.mov", "decord_video_270.mov", "PHP-FFMpeg_portrait.MOV", "torchcodec_h264_10bits.mp4",
     "imageio-bina_newtonscradle.gif", "torchcodec_av1_video.mkv", "streamio-ffm_sideways_movie.mov"],
)  # fmt: skip
def test_pictures_agree_with_ffmpeg(data: Path, name: str) -> None:
    path = data / "awkward" / name
    info = probe(path)
    width, height = info.width // 4, info.height // 4
    scale = f"scale={width}:{height}:flags=area+full_chroma_int+accurate_rnd"
    raw = ffmpeg("-i", path, "-frames:v", "1", "-vf", scale, "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
    judge = np.frombuffer(raw, np.uint8).reshape(height, width, 3).astype(int)
    assert np.abs(frames_of(path)[0].picture(width, height) - judge).mean() < 5
