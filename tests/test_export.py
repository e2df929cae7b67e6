"""export: lists that editing programs read back to the frame, clips of exactly the frames asked for."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from xml.etree import ElementTree

import av
import numpy as np
import pytest
from media_samples import Sound, corners, numbered, quadrants, read_number, render, silence
from PIL import Image

from footage import export as exporting
from footage.errors import ConfigError, MediaChanged, MediaNotFound, NotIndexed, QueryError, UnsupportedMedia
from footage.export import Exported, ExportSettings, edl, export, moment_of
from footage.export.names import safe_name, unique
from footage.export.shots import shots
from footage.media import open_video, probe
from footage.media.cut import cut_clip, frame_at
from footage.media.source import source_info
from footage.media.timecode import RATES, can_drop, exact_rate, frame_of, relabel, timecode
from footage.types import Evidence, MediaFile, Moment, Video

otio = pytest.importorskip("opentimelineio")
FILM, NTSC, DOUBLE = Fraction(24000, 1001), Fraction(30000, 1001), Fraction(60000, 1001)


def video_of(path: Path) -> Video:
    """The record that an index run would make, without one."""
    info = probe(path)
    with open_video(path) as reader:
        for _ in reader.frames():
            pass
        duration = reader.duration
    facts = path.stat()
    return Video(
        id=hashlib.sha256(path.read_bytes()).hexdigest()[:32],
        files=(MediaFile(path.as_posix(), facts.st_size, facts.st_mtime_ns),),
        duration=duration,
        width=info.width,
        height=info.height,
        fps=info.fps,
        codec=info.codec,
        container=info.container,
        recorded_at=0.0,
        samples=1,
        sampling="",
        has_audio=info.has_audio,
    )


def found(moment: Moment, query: str) -> Moment:
    return replace(moment, evidence=(Evidence("text", query, "s", 0.3, 0.9, moment.at),))


def with_timecode(path: Path, fps: Fraction | int, label: str, seconds: float = 8.0, sound: bool = False) -> Path:
    """Numbered pictures in a file with a timecode track (or tag)."""
    pictures = (numbered(i) for i in range(round(seconds * float(fps))))
    options = {"g": "24", "preset": "ultrafast"}
    return render(path, pictures, fps=fps, options=options, timecode=label, sound=silence(seconds) if sound else None)


def numbers(path: Path) -> list[int]:
    with open_video(path) as reader:
        return [read_number(f.picture(160, 96)) for f in reader.frames()]


def ask(*command: str | Path) -> str:
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=300, check=True)
    assert not done.stderr, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Video]:
    folder = tmp_path_factory.mktemp("sources")
    return {
        "pal": video_of(with_timecode(folder / "pal.mov", 25, "10:00:00:00", sound=True)),
        "plain": video_of(with_timecode(folder / "plain.mp4", 25, "")),
        "film": video_of(with_timecode(folder / "film.mov", FILM, "01:00:00:00")),
        "drop": video_of(with_timecode(folder / "drop.mov", NTSC, "00:59:58;20", sound=True)),
        "nondrop": video_of(with_timecode(folder / "nondrop.mov", NTSC, "00:59:58:20")),
        "ntsc": video_of(with_timecode(folder / "ntsc.mp4", NTSC, "")),
        "double": video_of(with_timecode(folder / "double.mkv", DOUBLE, "02:00:00;00", seconds=4.0)),
    }


# Timecode


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("drop", [False, True])
def test_timecode_is_that_of_opentimelineio(rate: Fraction, drop: bool) -> None:
    if drop and not can_drop(rate):
        with pytest.raises(ConfigError, match="no drop-frame"):
            timecode(0, rate, True)
        return
    day = 86_000 * round(rate)
    for frame in [*range(0, 40_000, 7), *range(17_970, 18_010), *range(day // 2, day // 2 + 4000)]:
        label = timecode(frame, rate, drop)
        time = otio.opentime.RationalTime(frame, float(rate))
        assert label == otio.opentime.to_timecode(time, float(rate), drop)
        assert frame_of(label, rate) == (frame, drop)


def test_drop_frame_leaves_out_what_st_12_1_says() -> None:
    assert timecode(1799, NTSC, True) == "00:00:59;29"
    assert timecode(1800, NTSC, True) == "00:01:00;02"
    assert timecode(17_982, NTSC, True) == "00:10:00;00"  # no labels are left out at every tenth minute
    assert timecode(107_892, NTSC, True) == "01:00:00;00"
    assert timecode(3600, DOUBLE, True) == "00:01:00;04"
    assert frame_of("00:01:00;00", NTSC) == (1800, True)  # a label that does not exist is the next one
    assert timecode(24 * 107_892, NTSC, True) == "00:00:00;00"


@pytest.mark.parametrize("label", ["", "x", "1:2:3", "00:60:00:00", "24:00:00:00", "00:00:00:25", "00:00:00:00:00"])
def test_what_is_no_timecode(label: str) -> None:
    with pytest.raises(ConfigError, match="not a timecode"):
        frame_of(label, Fraction(25))


def test_rates_are_exact() -> None:
    assert exact_rate(Fraction(2997, 100)) == (NTSC, True)
    assert exact_rate(Fraction(2997, 125)) == (FILM, True)
    assert exact_rate(Fraction(24)) == (Fraction(24), True)
    assert exact_rate(Fraction(120)) == (Fraction(120), True)
    assert exact_rate(Fraction(2745, 100)) == (NTSC, False)  # an average
    assert exact_rate(Fraction(0)) == (Fraction(25), False)


def test_a_label_at_another_rate() -> None:
    assert relabel("01:00:00:20", Fraction(25), Fraction(50), False) == 3600 * 50 + 40
    assert timecode(relabel("00:01:00:00", Fraction(25), NTSC, True), NTSC, True) == "00:01:00;02"


# Sources


def test_the_timecode_of_a_source(sources: dict[str, Video]) -> None:
    def facts(name: str) -> tuple[Fraction, str, bool]:
        info = source_info(sources[name].path)
        return info.rate, info.timecode_of(0), info.has_timecode

    assert facts("pal") == (25, "10:00:00:00", True)
    assert facts("plain") == (25, "00:00:00:00", False)
    assert facts("film") == (FILM, "01:00:00:00", True)
    assert facts("drop") == (NTSC, "00:59:58;20", True)
    assert facts("nondrop") == (NTSC, "00:59:58:20", True)
    assert facts("ntsc") == (NTSC, "00:00:00;00", False)  # by rule: nothing told, so that the label is the clock
    assert facts("double") == (DOUBLE, "02:00:00;00", True)


@pytest.mark.ffmpeg
@pytest.mark.parametrize("name", ["gop.mpg", "gop.ts", "gop.mxf"])
def test_the_timecode_of_mpeg(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    options = ["-timecode", "10:11:12;14", "-c:v", "mpeg2video"]
    ask("ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=320x180:r=30000/1001:d=1", *options, path)
    info = source_info(path)
    assert (info.rate, info.timecode_of(0), info.has_timecode) == (NTSC, "10:11:12;14", True)


# Edit lists


@pytest.fixture(scope="module")
def cuts(sources: dict[str, Video]) -> list[Moment]:
    return [
        found(moment_of(sources["drop"], 1.0, 3.0, 1.5), "a dog & a cat"),
        found(moment_of(sources["nondrop"], 0.0, 7.9), 'say "cut" <now>'),
        found(moment_of(sources["ntsc"], 2.002, 2.003), "one\nframe"),
        found(moment_of(sources["drop"], 4.5, 6.25), "猫 🐈"),
    ]


def clips_of(timeline: object) -> list[object]:
    track = next(t for t in timeline.tracks if t.kind == "Video")  # type: ignore[attr-defined]
    return [c for c in track if isinstance(c, otio.schema.Clip)]


def test_an_edl_comes_back_to_the_frame(cuts: list[Moment]) -> None:
    text = exporting.render(cuts, "edl", title="My cut").decode()
    assert text.startswith("TITLE: My cut\nFCM: DROP FRAME\n\n001  DROP ")
    timeline = otio.adapters.read_from_string(text, "cmx_3600", rate=float(NTSC))
    back, expected = clips_of(timeline), shots(cuts)
    assert len(back) == len(cuts)
    at = 0
    for clip, shot in zip(back, expected, strict=True):
        source = clip.source_range  # type: ignore[attr-defined]
        assert source.start_time.to_frames() == shot.info.start_frame + shot.first
        assert source.duration.to_frames() == shot.count
        assert clip.name == shot.name  # type: ignore[attr-defined]
        assert clip.media_reference.target_url.endswith(shot.path.name)  # type: ignore[attr-defined]
        assert clip.range_in_parent().start_time.to_frames() == at  # type: ignore[attr-defined]
        at += shot.count
    # Worked out by hand: 1 s are 29.97 frames, so frame 30; 00:59:58;20 and 30 frames, over no minute.
    assert " 00:59:59;20 01:00:01;20 01:00:00;00 01:00:02;00\n" in text
    assert "002  NONDROP  V " in text
    assert " 00:59:58:20 " in text
    assert [s.count for s in expected][2] == 1


def test_an_edl_of_film(sources: dict[str, Video]) -> None:
    moments = [moment_of(sources["film"], 2.002, 4.004), moment_of(sources["film"], 5.0, 5.5)]
    text = exporting.render(moments, "edl").decode()
    assert "FCM: NON-DROP FRAME" in text
    assert "01:00:02:00 01:00:04:00 01:00:00:00 01:00:02:00" in text
    back = clips_of(otio.adapters.read_from_string(text, "cmx_3600", rate=float(FILM)))
    assert [c.source_range.start_time.to_frames() for c in back] == [86_448, 86_520]  # type: ignore[attr-defined]
    assert [c.source_range.duration.to_frames() for c in back] == [48, 12]  # type: ignore[attr-defined]


def test_mixed_rates_in_an_edl_follow_the_rule(sources: dict[str, Video]) -> None:
    moments = [moment_of(sources[n], 2.0, 4.0) for n in ("pal", "plain", "film", "drop")]
    text = exporting.render(moments, "edl").decode()
    lines = text.splitlines()
    assert [line.split()[2] for line in lines if line[:3].isdigit()] == ["AA/V", "V", "V", "AA/V"]
    # Frame 48 of film is 01:00:02:00; frame 60 of drop is ;20 of two seconds later; 2 s last 50 frames of the list.
    assert any("01:00:02:00 01:00:04:00 01:00:04:00 01:00:06:00" in line for line in lines)
    assert "* SOURCE RATE: 23.976 SOURCE TIMECODE: 01:00:02:00 01:00:04:00" in lines
    assert "* SOURCE RATE: 29.97 SOURCE TIMECODE: 01:00:00;20 01:00:02;20" in lines
    assert len(clips_of(otio.adapters.read_from_string(text, "cmx_3600", rate=25))) == 4


def test_reels_are_short_plain_and_unique(sources: dict[str, Video], tmp_path: Path) -> None:
    shot = shots([moment_of(sources["plain"], 0, 1)])[0]
    names = ["Holiday 2024 a.mp4", "holiday-2024 b.mp4", "猫.mp4", "ax.mp4", "Äpfel.mp4"]
    made = [
        replace(
            shot, path=tmp_path / n, moment=replace(shot.moment, video=replace(shot.moment.video, id=f"{i}abcdef0"))
        )
        for i, n in enumerate(names)
    ]
    assert list(edl.reels(made).values()) == ["HOLIDAY2", "HOLIDAY3", "V2ABCDEF", "AX2", "APFEL"]
    assert all(len(r) <= 8 for r in edl.reels(made).values())
    assert len(set(edl.reels(made).values())) == len(names)


def test_an_edl_has_at_most_999_events(sources: dict[str, Video]) -> None:
    with pytest.raises(ConfigError, match="999"):
        exporting.render([moment_of(sources["plain"], 0, 1)] * 1000, "edl")


def seconds(text: str | None) -> Fraction:
    assert text is not None
    assert text.endswith("s")
    return Fraction(text[:-1])


def test_fcpxml_is_exact(sources: dict[str, Video], cuts: list[Moment]) -> None:
    for moments, rate in ((cuts, NTSC), ([moment_of(sources["film"], 2.002, 4.004)], FILM)):
        root = ElementTree.fromstring(exporting.render(moments, "fcpxml"))
        formats = {f.get("id"): seconds(f.get("frameDuration")) for f in root.iter("format")}
        assets = {a.get("id"): a for a in root.iter("asset")}
        assert len(assets) == len({m.video.id for m in moments})
        at = Fraction(0)
        for clip, shot in zip(root.iter("asset-clip"), shots(moments), strict=True):
            asset = assets[clip.get("ref")]
            assert formats[asset.get("format")] == 1 / rate
            assert seconds(asset.get("start")) == shot.info.start_frame / rate
            assert seconds(asset.get("duration")) == shot.length / rate
            assert seconds(clip.get("start")) == (shot.info.start_frame + shot.first) / rate
            assert seconds(clip.get("duration")) == shot.count / rate
            assert seconds(clip.get("offset")) == at
            assert clip.get("tcFormat") == ("DF" if shot.info.drop else "NDF")
            assert [e.tag for e in clip] == ["note", "marker"]
            assert asset.get("src") == shot.path.as_uri()
            at += shot.count / rate
        sequence = next(root.iter("sequence"))
        assert seconds(sequence.get("duration")) == at


def test_fcpxml_comes_back_through_opentimelineio(sources: dict[str, Video]) -> None:
    # At 25 frames/s; the adapter truncates 29.97 to 29 and 23.976 to 23, which is why the test above reads the XML.
    moments = [moment_of(sources["pal"], 1.0, 3.0), moment_of(sources["plain"], 2.2, 2.6)]
    back = otio.adapters.read_from_string(exporting.render(moments, "fcpxml").decode(), "fcpx_xml")
    clips = list(back.find_children(descended_from_type=otio.schema.Clip))
    assert [c.source_range.start_time.to_frames() for c in clips] == [900_025, 55]
    assert [c.source_range.duration.to_frames() for c in clips] == [50, 10]
    assert clips[0].media_reference.available_range.start_time.to_frames() == 900_000


def test_fcpxml_of_mixed_rates_keeps_seconds(sources: dict[str, Video]) -> None:
    moments = [moment_of(sources[n], 2.0, 4.0) for n in ("pal", "plain", "film")]
    root = ElementTree.fromstring(exporting.render(moments, "fcpxml"))
    clip = list(root.iter("asset-clip"))[2]
    assert seconds(clip.get("start")) == (86_400 + 48) / FILM
    assert seconds(clip.get("duration")) == 2
    conform = clip.find("conform-rate")
    assert conform is not None
    assert conform.attrib == {"scaleEnabled": "0", "srcFrameRate": "23.98"}


def test_otio_comes_back_to_the_frame(sources: dict[str, Video], cuts: list[Moment], tmp_path: Path) -> None:
    moments = [*cuts, moment_of(sources["film"], 2.002, 4.004), moment_of(sources["double"], 1.0, 2.0)]
    target = tmp_path / "cut.otio"
    list(export(moments, target, ExportSettings(title="Schnitt 一")))
    timeline = otio.adapters.read_from_file(str(target))
    assert timeline.name == "Schnitt 一"
    for clip, shot in zip(clips_of(timeline), shots(moments), strict=True):
        source, whole = clip.source_range, clip.media_reference.available_range  # type: ignore[attr-defined]
        assert source.start_time == otio.opentime.RationalTime(
            shot.info.start_frame + shot.first, float(shot.info.rate)
        )
        assert source.duration.value == shot.count
        assert whole.start_time.value == shot.info.start_frame
        assert whole.start_time <= source.start_time
        assert source.end_time_exclusive() <= whole.end_time_exclusive()
        assert clip.media_reference.target_url == shot.path.as_uri()  # type: ignore[attr-defined]
        assert clip.metadata["footage"]["title"] == shot.title  # type: ignore[attr-defined]
        assert source.contains(clip.markers[0].marked_range.start_time)  # type: ignore[attr-defined]
    tracks = [t.kind for t in timeline.tracks]
    assert tracks == ["Video", "Audio"]
    assert timeline.tracks[0].duration() == timeline.tracks[1].duration()


@pytest.mark.parametrize("name", ["a 'b' \"c\" #1 100%.mp4", "猫 🐈 ?&x=<y>.mp4", "two\nlines\t.mp4", "= + @.mp4"])
def test_names_survive_every_list(tmp_path: Path, sources: dict[str, Video], name: str) -> None:
    if os.name == "nt":
        pytest.skip("Windows has no such names")
    path = tmp_path / name
    path.write_bytes(Path(sources["plain"].path).read_bytes())
    moments = [found(moment_of(video_of(path), 1, 2), '=cmd|"x"! \n --> <b>')]
    text = exporting.render(moments, "edl").decode()
    clip = clips_of(otio.adapters.read_from_string(text, "cmx_3600", rate=25))[0]
    assert clip.source_range.duration.to_frames() == 25  # type: ignore[attr-defined]
    assert clip.media_reference.target_url in (str(path), path.as_uri())  # type: ignore[attr-defined]
    asset = next(ElementTree.fromstring(exporting.render(moments, "fcpxml")).iter("asset"))
    url = asset.get("src") or ""
    assert url.isascii()
    assert url == path.as_uri()
    rows = list(csv.DictReader(io.StringIO(exporting.render(moments, "csv").decode("utf-8-sig"), newline="")))
    assert rows[0]["title"].startswith("'=")
    assert rows[0]["name"] == (f"'{name}" if name[0] == "=" else name)
    cue = exporting.render(moments, "vtt").decode().split("\n\n")
    assert cue[-1].splitlines()[1:] == ["00:00:01.000 --> 00:00:02.000", '=cmd|"x"!   --&gt; &lt;b&gt;']
    assert "-->" not in cue[1]
    assert json.loads(exporting.render(moments, "json"))[0]["path"] == path.as_posix()
    row = next(iter(export(moments, tmp_path / "out", ExportSettings(format="clip"))))
    assert row.error is None
    assert not set('<>:"|?*\n\t') & set(Path(row.path).name)


def test_file_names_for_every_system() -> None:
    assert safe_name("con") == "_con"
    assert safe_name("NUL.txt") == "_NUL.txt"
    assert safe_name("a/b\\c:d") == "a_b_c_d"
    assert safe_name(" . ") == "_"
    assert safe_name("-rf") == "_-rf"
    assert len(safe_name("猫" * 200).encode()) <= 150
    assert [p.name for p in unique([Path("a.mp4"), Path("A.mp4"), Path("a.mp4")])] == [
        "a.mp4",
        "A (2).mp4",
        "a (3).mp4",
    ]


def test_chapters_are_a_file_for_every_video(tmp_path: Path, cuts: list[Moment]) -> None:
    with pytest.raises(ConfigError, match="one video"):
        list(export(cuts, tmp_path / "all.vtt"))
    rows = list(export(cuts, tmp_path / "chapters", ExportSettings(format="vtt")))
    assert [Path(r.path).name for r in rows] == ["drop.vtt", "nondrop.vtt", "ntsc.vtt"]
    text = Path(rows[0].path).read_text(encoding="utf-8")
    assert text.startswith("WEBVTT\n\nNOTE drop.mov\n\n1\n00:00:01.000 --> 00:00:03.000\na dog &amp; a cat\n\n2\n")


@pytest.mark.ffmpeg
def test_chapters_are_read_by_ffmpeg(tmp_path: Path, cuts: list[Moment]) -> None:
    next(iter(export(cuts[:1], tmp_path / "one.vtt")))
    assert "a dog & a cat" in ask("ffmpeg", "-v", "error", "-i", tmp_path / "one.vtt", "-f", "srt", "-")


def test_saved_moments_come_back(sources: dict[str, Video], cuts: list[Moment]) -> None:
    by_name = {v.id: v for v in sources.values()}
    lines = [json.dumps(m.as_dict()) for m in cuts]
    for saved in (lines, exporting.render(cuts, "json").decode().splitlines()):
        back = exporting.load(saved, by_name.__getitem__)
        assert [(m.video, m.start, m.end, m.evidence[0].query) for m in back] == [
            (m.video, m.start, m.end, m.evidence[0].query) for m in cuts
        ]
        assert exporting.render(back, "edl") == exporting.render(cuts, "edl")  # thousandths do not move a frame
    for wrong in (["{"], ["[1]"], ['{"video": "x"}'], ["3"], ['{"video":"x","start":"a","end":1}']):
        with pytest.raises(QueryError, match="no saved moments"):
            exporting.load(wrong, by_name.__getitem__)


# Clips


@pytest.mark.parametrize(
    ("name", "fps", "codec", "options"),
    [
        ("a.mp4", 25, "libx264", {"bf": "3", "g": "30"}),
        ("b.mov", FILM, "libx264", {"bf": "2", "g": "50"}),
        ("c.mkv", NTSC, "libx265", {"x265-params": "log-level=none:keyint=40"}),
        ("d.webm", 25, "libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "g": "30"}),
        ("e.ts", DOUBLE, "libx264", {"bf": "2", "g": "60"}),
        ("f.avi", 25, "mpeg4", {"g": "12"}),
        ("g.mpg", 25, "mpeg2video", {"g": "12", "bf": "2"}),
    ],
)
def test_an_exact_clip_has_exactly_the_frames(
    tmp_path: Path, name: str, fps: Fraction | int, codec: str, options: dict[str, str]
) -> None:
    path = render(tmp_path / name, [numbered(i) for i in range(240)], fps=fps, codec=codec, options=options)
    info = source_info(path)
    assert info.rate == fps
    for start, end in ((0.0, 0.5), (1.3, 1.9), (3.3333, 3.9), (3.0, 3.001)):
        first = info.frame_at(start)
        last = max(info.frame_at(end), first + 1)
        if end - start < 0.01:  # less than half a frame: that has no frame boundary inside
            continue
        clip = cut_clip(path, tmp_path / "clip.mp4", start, end, duration=240 / float(fps))
        assert numbers(clip.path) == list(range(first, last))
        assert clip.frames == last - first
        assert clip.start == pytest.approx(info.first + first / float(fps), abs=0.0011)
        assert clip.end == pytest.approx(info.first + last / float(fps), abs=0.0011)
        assert source_info(clip.path).rate == fps
        assert probe(clip.path).codec == "h264"


def clicking(path: Path, video: str, audio: str, sample: str, options: dict[str, str]) -> Path:
    """Numbered pictures at 25 frames/s for 8 s, with a click of 10 ms at 5 s."""
    rate = 48000
    wave = np.zeros((2, rate * 8), np.float32)
    wave[:, 5 * rate : 5 * rate + 480] = 0.9 * np.sin(np.arange(480) * 2 * np.pi * 1000 / rate)
    sound = Sound(wave, rate, audio, sample)
    return render(path, (numbered(i) for i in range(200)), codec=video, options=options, sound=sound)


def click_at(path: Path) -> float:
    """Seconds from the first picture to the click, as a player hears it."""
    with av.open(str(path)) as file:
        zero = (file.streams.video[0].start_time or 0) * float(file.streams.video[0].time_base or 0)
        for frame in file.decode(file.streams.audio[0]):
            loud = np.abs(np.atleast_2d(frame.to_ndarray().astype(np.float64)))
            scale = 32768.0 if frame.format.name.startswith("s16") else 1.0
            loud = loud.reshape(1, -1)[:, ::2] if not frame.format.is_planar else loud
            hit = np.flatnonzero(loud[0] / scale > 0.3)
            if len(hit) and frame.pts is not None:
                return float(frame.pts * frame.time_base) - zero + hit[0] / frame.sample_rate  # type: ignore[operator]
    return -1.0


CLICKING = [
    ("k.mp4", "libx264", "aac", "fltp", {"g": "50", "bf": "2"}),
    ("k.mov", "libx264", "pcm_s16le", "s16", {"g": "50", "bf": "2"}),
    ("k.mkv", "libx264", "libopus", "s16", {"g": "50", "bf": "2"}),
    ("k.ts", "libx264", "mp2", "s16", {"g": "50", "bf": "2"}),
    ("k.webm", "libvpx-vp9", "libopus", "s16", {"deadline": "realtime", "cpu-used": "8", "g": "25"}),
]


@pytest.mark.parametrize(("name", "video", "audio", "sample", "options"), CLICKING)
def test_the_sound_of_a_clip_is_in_step(
    tmp_path: Path, name: str, video: str, audio: str, sample: str, options: dict[str, str]
) -> None:
    path = clicking(tmp_path / name, video, audio, sample, options)
    click = click_at(path) + source_info(path).first
    assert click == pytest.approx(5.0, abs=0.025)  # some encoders delay
    for start in (0.0, 1.0, 4.52):
        clip = cut_clip(path, tmp_path / "clip.mp4", start, 6.0, duration=8.0)
        assert click_at(clip.path) == pytest.approx(click - clip.start, abs=0.0015)
    clip = cut_clip(path, tmp_path / f"fast{path.suffix}", 4.52, 6.0, fast=True, duration=8.0)
    assert clip.start <= 4.52
    assert click_at(clip.path) == pytest.approx(click - clip.start, abs=0.008)


@pytest.mark.ffmpeg
@pytest.mark.parametrize(("name", "video", "audio", "sample", "options"), CLICKING)
def test_a_fast_clip_begins_with_the_key_frame_before(
    tmp_path: Path, name: str, video: str, audio: str, sample: str, options: dict[str, str]
) -> None:
    path = clicking(tmp_path / name, video, audio, sample, options)
    with open_video(path) as reader:
        keys = [i for i, f in enumerate(reader.frames()) if f.key]
    for start in (0.0, 2.5, 4.52):
        clip = cut_clip(path, tmp_path / f"fast{path.suffix}", start, 6.0, fast=True, duration=8.0)
        key = max(k for k in keys if k / 25 <= start + 0.001)
        shown = numbers(clip.path)
        assert shown[0] == key
        assert set(range(key, 150)) <= set(shown)
        assert max(shown) < 155  # pictures that others refer to may stand behind the end
        ask("ffprobe", "-v", "error", "-show_frames", clip.path)
        ask("ffmpeg", "-v", "error", "-i", clip.path, "-f", "null", "-")
        exact = cut_clip(path, tmp_path / "exact.mp4", start, 6.0, duration=8.0)
        ask("ffmpeg", "-v", "error", "-i", exact.path, "-f", "null", "-")


@pytest.mark.ffmpeg
def test_vorbis_and_theora(tmp_path: Path) -> None:
    path = tmp_path / "a.ogv"
    inputs = ["-f", "lavfi", "-i", "testsrc2=s=160x96:r=25:d=4", "-f", "lavfi", "-i", "sine=d=4"]
    try:
        ask("ffmpeg", "-v", "error", *inputs, "-c:v", "libtheora", "-c:a", "libvorbis", path)
    except subprocess.CalledProcessError:
        pytest.skip("this ffmpeg cannot make Theora")
    clip = cut_clip(path, tmp_path / "clip.mp4", 1.0, 2.0, duration=4.0)
    assert clip.frames == 25
    assert probe(clip.path).has_audio
    fast = cut_clip(path, tmp_path / "fast.mkv", 1.5, 2.0, fast=True, duration=4.0)
    assert fast.start <= 1.5
    ask("ffprobe", "-v", "error", "-show_frames", fast.path)


def test_high_dynamic_range_and_transparency_become_ordinary(tmp_path: Path) -> None:
    pq = {"color_primaries": 9, "color_trc": 16, "colorspace": 9}
    quiet = {"x265-params": "log-level=none"}
    deep = render(
        tmp_path / "pq.mkv", [numbered(341)] * 20, codec="libx265", pix_fmt="yuv420p10le", tags=pq, options=quiet
    )
    rgba = np.dstack([quadrants(), np.full((96, 160), 128, np.uint8)])
    clear = render(tmp_path / "a.mov", [rgba] * 20, codec="png", pix_fmt="rgba", layout="rgba")
    for path in (deep, clear):
        clip = cut_clip(path, tmp_path / "clip.mp4", 0.2, 0.6)
        with open_video(path) as before, open_video(clip.path) as after:
            one, two = next(before.frames()), next(after.frames())
            assert np.abs(one.picture(80, 48).astype(int) - two.picture(80, 48)).mean() < 3
        with av.open(str(clip.path)) as file:
            context = file.streams.video[0].codec_context
            assert (context.pix_fmt, context.color_trc, context.colorspace) == ("yuv420p", 1, 1)


def test_variable_rate_keeps_its_times(tmp_path: Path) -> None:
    times = [0.0, 0.04, 0.5, 0.54, 2.0, 2.04, 3.25, 3.29, 4.0]
    path = render(tmp_path / "v.mkv", [numbered(i) for i in range(9)], times=times)
    clip = cut_clip(path, tmp_path / "clip.mp4", 1.0, 3.28)  # frame 3 is still on the screen at 1.0
    with open_video(clip.path) as reader:
        frames = [(read_number(f.picture(160, 96)), f.time) for f in reader.frames()]
    assert [n for n, _ in frames] == [3, 4, 5, 6]
    assert [t for _, t in frames] == pytest.approx([0.0, 1.0, 1.04, 2.25], abs=0.002)
    assert source_info(path).variable


def test_turned_stretched_deep_and_full_range_pictures(tmp_path: Path) -> None:
    turned = render(tmp_path / "t.mp4", [quadrants()] * 30, turn=(90.0, False, False))
    wide = render(tmp_path / "w.mp4", [quadrants()] * 30, sar=Fraction(4, 3))
    deep = render(
        tmp_path / "d.mkv",
        [quadrants()] * 30,
        codec="libx265",
        pix_fmt="yuv420p10le",
        options={"x265-params": "log-level=none"},
    )
    full = render(tmp_path / "f.mp4", [quadrants()] * 30, pix_fmt="yuvj420p", tags={"color_range": 2})
    for path in (turned, wide, deep, full):
        clip = cut_clip(path, tmp_path / "clip.mp4", 0.2, 0.8)
        with open_video(path) as before, open_video(clip.path) as after:
            one, two = next(before.frames()), next(after.frames())
            size = (one.width // 2, one.height // 2)
            assert abs(one.width - two.width) <= 1
            assert one.height == two.height
            assert corners(one.picture(*size)) == corners(two.picture(*size))
            difference = np.abs(one.picture(*size).astype(int) - two.picture(*size))
            assert difference.mean() < 3
        with av.open(str(clip.path)) as file:
            assert file.streams.video[0].codec_context.pix_fmt == "yuv420p"
    fast = cut_clip(turned, tmp_path / "fast.mp4", 0.0, 0.8, fast=True)
    with open_video(turned) as before, open_video(fast.path) as after:
        one, two = next(before.frames()), next(after.frames())
        assert (one.width, one.height) == (two.width, two.height)
        assert corners(one.picture(96, 160)) == corners(two.picture(96, 160))
    shot = shots([moment_of(video_of(turned), 0, 1)])[0]
    assert shot.info.shown == (96, 160)


def test_a_clip_can_be_made_smaller(tmp_path: Path, sources: dict[str, Video]) -> None:
    clip = cut_clip(sources["plain"].path, tmp_path / "small.mp4", 1.0, 2.0, max_height=48)
    assert (probe(clip.path).width, probe(clip.path).height) == (80, 48)
    assert numbers(clip.path) == list(range(25, 50))


@pytest.mark.parametrize("fast", [False, True])
def test_a_clip_carries_the_timecode_of_its_source(tmp_path: Path, sources: dict[str, Video], fast: bool) -> None:
    for name in ("pal", "drop", "nondrop", "film"):
        video = sources[name]
        clip = cut_clip(video.path, tmp_path / f"{name}.mov", 3.0, 5.0, fast=fast)
        source, cut = source_info(video.path), source_info(clip.path)
        assert cut.timecode_of(0) == source.timecode_of(source.frame_at(clip.start))
    assert not source_info(cut_clip(sources["ntsc"].path, tmp_path / "n.mp4", 3.0, 5.0).path).has_timecode


@pytest.mark.ffmpeg
def test_interlaced_pictures_are_made_whole(tmp_path: Path) -> None:
    path = tmp_path / "i.mpg"
    ask(
        "ffmpeg",
        "-v",
        "error",
        "-f",
        "lavfi",
        "-i",
        "testsrc2=s=320x240:r=50:d=2",
        "-vf",
        "tinterlace=4",
        "-flags",
        "+ildct+ilme",
        "-c:v",
        "mpeg2video",
        "-q:v",
        "2",
        path,
    )
    clip = cut_clip(path, tmp_path / "clip.mp4", 0.4, 1.2, duration=2.0)
    assert clip.frames == 20
    with av.open(str(clip.path)) as file:
        frames = list(file.decode(video=0))
    assert len(frames) == 20
    assert not any(f.interlaced_frame for f in frames)


# Frames


@pytest.mark.parametrize("name", ["pal", "film", "drop", "double"])
def test_a_frame_is_the_decoded_one(tmp_path: Path, sources: dict[str, Video], name: str) -> None:
    video = sources[name]
    with open_video(video.path) as reader:
        frames = [(f.time, f.picture(f.width, f.height)) for f in reader.frames()]
    for number in (0, 1, 37, len(frames) - 1):
        time, picture = frames[number]
        for at in (time, round(time, 3), time + 0.01):
            assert np.array_equal(frame_at(video.path, at), picture)
    moment = moment_of(video, 1.0, 3.0, 2.0)
    row = next(iter(export([moment], tmp_path / "best.png")))
    assert row.error is None
    assert np.array_equal(np.asarray(Image.open(tmp_path / "best.png")), frame_at(video.path, 2.0))
    next(iter(export([moment], tmp_path / "best.jpg")))
    assert read_number(np.asarray(Image.open(tmp_path / "best.jpg"))) == read_number(frame_at(video.path, 2.0))


# What goes wrong


def only(rows: Iterator[Exported]) -> Exported:
    (row,) = rows
    return row


@pytest.mark.parametrize(
    ("target", "settings", "message"),
    [
        ("cuts.xyz", {}, "cannot tell the format"),
        ("cuts.edl", {"format": "avid"}, "no such format"),
        ("none/cuts.edl", {}, "no such folder"),
        ("none/clips/", {"format": "clip"}, "no such folder"),
        ("there.edl", {}, "exists already"),
        ("clip.webm", {"format": "clip"}, "cannot be written to .webm"),
        ("clip.edl", {"format": "clip"}, "cannot be written to .edl"),
        ("cuts.edl", {"pad": -1.0}, "pad is -1"),
    ],
)
def test_targets_that_are_refused(
    tmp_path: Path, sources: dict[str, Video], target: str, settings: dict[str, object], message: str
) -> None:
    (tmp_path / "there.edl").write_text("mine")
    moment = moment_of(sources["plain"], 1, 2)
    with pytest.raises(ConfigError, match=message):
        export([moment], f"{tmp_path}/{target}", ExportSettings(**settings))  # type: ignore[arg-type]
    assert [p.name for p in tmp_path.iterdir()] == ["there.edl"]
    assert (tmp_path / "there.edl").read_text() == "mine"


def test_force_replaces_and_leaves_nothing_behind(tmp_path: Path, sources: dict[str, Video]) -> None:
    moment = moment_of(sources["plain"], 1, 2)
    for name in ("a.edl", "a.mp4", "a.png", "a.csv"):
        (tmp_path / name).write_text("old")
        assert only(export([moment], tmp_path / name, ExportSettings(force=True))).error is None
        assert (tmp_path / name).stat().st_size > 10
    assert len(list(tmp_path.iterdir())) == 4


def test_several_moments_need_a_folder(tmp_path: Path, sources: dict[str, Video]) -> None:
    moments = [moment_of(sources["plain"], i, i + 1) for i in range(2)]
    with pytest.raises(ConfigError, match="do not fit in one file"):
        export(moments, tmp_path / "a.mp4")
    rows = list(export([*moments, moments[0]], tmp_path / "clips", ExportSettings(format="clip", fast=True)))
    assert [Path(r.path).name for r in rows] == [
        "plain_00-00-00.000_00-00-01.000.mp4",
        "plain_00-00-01.000_00-00-02.000.mp4",
        "plain_00-00-00.000_00-00-01.000 (2).mp4",
    ]
    for format, suffix in (("clip", ".mkv"), ("frame", ".jpg")):
        rows = list(export(moments, tmp_path / "others", ExportSettings(format=format, suffix=suffix)))
        assert {Path(r.path).suffix for r in rows} == {suffix} and not any(r.error for r in rows)
    for format, suffix in (("clip", ".jpg"), ("frame", ".mkv"), ("clip", "/../x.mp4")):
        with pytest.raises(ConfigError, match="cannot be written"):
            export(moments, tmp_path / "wrong", ExportSettings(format=format, suffix=suffix))
    assert not (tmp_path / "wrong").exists()


def test_ranges_that_are_refused(sources: dict[str, Video]) -> None:
    for start, end in ((-1, 2), (2, 2), (3, 2), (0, float("nan")), (9, 10), (1, 100)):
        with pytest.raises(QueryError):
            moment_of(sources["plain"], start, end)
    with pytest.raises(QueryError, match="empty"):
        raise _raised(lambda: export([], "x.edl"))
    for start, end in ((50.0, 60.0), (-1.0, 2.0), (2.0, 2.0)):
        for fast in (False, True):
            with pytest.raises(QueryError):
                cut_clip(sources["plain"].path, Path("never.mp4"), start, end, fast=fast)
    with pytest.raises(QueryError, match="nothing is shown"):
        frame_at(sources["plain"].path, 99.0)
    assert not Path("never.mp4").exists()


def _raised(work: Callable[[], object]) -> QueryError:
    with pytest.raises(QueryError) as caught:
        work()
    return QueryError(f"{caught.value} {caught.value.hint}")


def test_files_that_vanished_or_changed(tmp_path: Path, sources: dict[str, Video]) -> None:
    path = tmp_path / "a.mp4"
    content = Path(sources["plain"].path).read_bytes()
    path.write_bytes(content)
    video = video_of(path)
    good, moment = moment_of(sources["plain"], 1, 2), moment_of(video, 1, 2)
    os.utime(path, (1, 1))  # touched, but the same: fine
    assert b"FROM CLIP NAME" in exporting.render([moment], "edl")
    path.write_bytes(content + b"more")
    with pytest.raises(MediaChanged, match="changed since"):
        exporting.render([moment], "edl")
    path.unlink()
    with pytest.raises(MediaNotFound, match="no longer there"):
        exporting.render([moment], "otio")
    assert exporting.render([moment], "csv")  # needs no file
    rows = list(export([moment, good], tmp_path / "clips", ExportSettings(format="clip")))
    assert [r.error is None for r in rows] == [False, True]
    assert isinstance(rows[0].error, MediaNotFound)
    assert len(list((tmp_path / "clips").iterdir())) == 1


def test_what_cannot_be_cut(tmp_path: Path, sources: dict[str, Video]) -> None:
    text = tmp_path / "notes.mp4"
    text.write_text("hello")
    with pytest.raises(UnsupportedMedia):
        cut_clip(text, tmp_path / "a.mp4", 0, 1)
    with pytest.raises(MediaNotFound):
        cut_clip(tmp_path / "none.mp4", tmp_path / "a.mp4", 0, 1)
    with pytest.raises(ConfigError, match="cannot write"):
        cut_clip(sources["plain"].path, tmp_path / "none" / "a.mp4", 0, 1)
    with pytest.raises(UnsupportedMedia, match="cannot be cut into"):  # H.264 may not lie in WebM
        cut_clip(sources["plain"].path, tmp_path / "a.webm", 0, 1, fast=True)
    assert [p.name for p in tmp_path.iterdir()] == ["notes.mp4"]


def test_without_opentimelineio(monkeypatch: pytest.MonkeyPatch, sources: dict[str, Video]) -> None:
    monkeypatch.setitem(sys.modules, "opentimelineio", None)
    moment = moment_of(sources["plain"], 1, 2)
    with pytest.raises(ConfigError, match="opentimelineio") as caught:
        exporting.render([moment], "otio")
    assert "footage[export]" in caught.value.hint
    assert exporting.render([moment], "edl")  # needs no package
    assert exporting.render([moment], "fcpxml")


# The command


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("command")
    with_timecode(folder / "one.mov", 25, "10:00:00:00")
    done = footage(folder, "index", "one.mov")
    assert done.returncode == 0, done.stderr
    return folder


def footage(folder: Path, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "footage.cli", *arguments],
        cwd=folder,
        input=text,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def test_the_command(library: Path) -> None:
    done = footage(library, "export", "--moment", "one.mov@2-0:04", "--to", "clips/", "--format", "clip", "--json")
    assert done.returncode == 0, done.stderr
    row = json.loads(done.stdout)
    assert numbers(Path(library / row["path"])) == list(range(50, 100))
    saved = footage(library, "search", "stripes", "--json", "-k", "2").stdout
    assert saved
    done = footage(library, "export", "--from", "-", "--to", "cuts.edl", text=saved)
    assert (done.returncode, done.stdout) == (0, "cuts.edl\n"), done.stderr
    assert "10:00:" in (library / "cuts.edl").read_text()
    done = footage(library, "export", "--from", "-", "--to", "cuts.edl", text=saved)
    assert done.returncode == 2
    assert "exists already: cuts.edl\n\nhint: --force" in done.stderr
    done = footage(library, "export", "stripes", "--weak", "--to", "-", "--format", "csv")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("\ufeffvideo,path,name,start") or done.stdout.startswith("video,path")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--to", "a.edl"], "give one of"),
        (["words", "--moment", "one.mov@1-2", "--to", "a.edl"], "give one of"),
        (["--moment", "one.mov@1-2"], "no target"),
        (["--moment", "two.mov@1-2", "--to", "a.edl"], "no such video"),
        (["--moment", "one.mov", "--to", "a.edl"], "not a moment"),
        (["--moment", "one.mov@5-70", "--to", "a.edl"], "outside of the video"),
        (["--from", "none.jsonl", "--to", "a.edl"], "cannot read moments"),
        (["--from", "-", "--to", "a.edl"], "nothing to export"),
    ],
)
def test_the_command_refuses(library: Path, arguments: list[str], message: str) -> None:
    done = footage(library, "export", *arguments)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (library / "a.edl").exists()


def test_the_method(library: Path, tmp_path: Path) -> None:
    from footage import Library

    with Library.open(library / ".footage") as lib:
        moment = lib.moment(str(library / "one.mov"), 1.0, 2.0)
        rows = lib.export([moment], tmp_path / "one.fcpxml")
        assert [r.as_dict() for r in rows] == [
            {"path": str(tmp_path / "one.fcpxml"), "format": "fcpxml", "moments": 1, "error": None}
        ]
        with pytest.raises(NotIndexed):
            lib.moment("none.mov", 1.0, 2.0)
