"""Playing: which files a browser takes, ranges of bytes, renditions made, kept, shared and thrown away."""

from __future__ import annotations

import io
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import httpx
import numpy as np
import pytest
from clips import library as open_library
from hub_server import until
from media_samples import numbered, quadrants, read_number, render
from PIL import Image
from serving import Served, serving

from footage.errors import MediaChanged, MediaNotFound, QueryError
from footage.media.checks import Tracks, clip_extent, tracks
from footage.playback import Renditions, open_file, path_of, way
from footage.types import MediaFile, Video

MP4 = Tracks("mov,mp4,m4a,3gp,3g2,mj2", "", "h264", "yuv420p", "aac")
WEBM = Tracks("matroska,webm", "webm", "vp9", "yuv420p", "opus")


@pytest.mark.parametrize(
    ("found", "mode"),
    [
        (MP4, "direct"),
        (replace(MP4, audio=""), "direct"),
        (replace(MP4, codec="av1", pixels="yuv420p10le"), "direct"),
        (WEBM, "direct"),
        (replace(WEBM, codec="vp8", audio="vorbis"), "direct"),
        (replace(MP4, codec="hevc"), "rendition"),
        (replace(MP4, codec="mpeg4"), "rendition"),
        (replace(MP4, pixels="yuv422p"), "rendition"),
        (replace(MP4, pixels="yuv420p10le"), "rendition"),
        (replace(MP4, audio="pcm_s16le"), "rendition"),
        (replace(MP4, audio="ac3"), "rendition"),
        (replace(WEBM, doctype="matroska"), "rendition"),
        (replace(WEBM, codec="h264"), "rendition"),
        (Tracks("avi", "", "h264", "yuv420p", ""), "rendition"),
        (Tracks("mpegts", "", "h264", "yuv420p", "aac"), "rendition"),
    ],
)
def test_what_a_browser_plays_as_it_is(found: Tracks, mode: str) -> None:
    assert way(found).mode == mode
    assert (way(found).reason == "") == (mode == "direct")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("played")


@pytest.fixture(scope="module")
def served(place: Path) -> Iterator[Served]:
    folder = place / "films"
    folder.mkdir()
    pictures = [numbered(n) for n in range(100)]
    render(folder / "plays.mp4", pictures, audio=4.0, container={"movflags": "faststart"})
    render(folder / "old.avi", pictures, codec="mpeg4")
    render(folder / "turned.mov", [quadrants()] * 25, codec="mpeg4", turn=(90, False, False))
    render(folder / "wide.mkv", pictures[:50], fps=Fraction(30000, 1001), sar=Fraction(2, 1))
    names = ["a#b%20+c.mp4", "quote\"'s.mp4", "表情🎬.mp4", "new\nline.mp4"]
    for n, name in enumerate(names):
        render(folder / name, [numbered(n + 200 + i) for i in range(5)])
    library = open_library(place / "library")
    assert {r.status for r in library.index(folder)} == {"indexed"}
    with serving(library) as found:
        yield found


def get(served: Served, video: str, what: str, **options: object) -> httpx.Response:
    return served.client.get(f"/api/v1/videos/{served.id_of(video)}/{what}", **options)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------- bytes of the file


def test_the_file_itself_in_ranges(served: Served, place: Path) -> None:
    data = (place / "films" / "plays.mp4").read_bytes()
    whole = get(served, "plays.mp4", "stream")
    assert whole.status_code == 200 and whole.content == data
    assert whole.headers["accept-ranges"] == "bytes" and whole.headers["content-type"] == "video/mp4"
    for header, part in (
        ("bytes=0-0", data[:1]),
        ("bytes=100-299", data[100:300]),
        ("bytes=500-", data[500:]),
        ("bytes=-7", data[-7:]),
        (f"bytes=10-{len(data) * 2}", data[10:]),
    ):
        answer = get(served, "plays.mp4", "stream", headers={"range": header})
        assert answer.status_code == 206 and answer.content == part, header
        assert answer.headers["content-range"].endswith(f"/{len(data)}")
    beyond = get(served, "plays.mp4", "stream", headers={"range": f"bytes={len(data)}-"})
    assert beyond.status_code == 416 and beyond.headers["content-range"] == f"bytes */{len(data)}"
    for odd in ("bytes=5-2", "lines=1-2", "bytes=0-1,5-6", "bytes=", "bytes=-"):
        assert get(served, "plays.mp4", "stream", headers={"range": odd}).content == data


def test_validators_and_head(served: Served) -> None:
    first = get(served, "plays.mp4", "stream", headers={"range": "bytes=0-9"})
    tag = first.headers["etag"]
    assert get(served, "plays.mp4", "stream", headers={"if-none-match": tag}).status_code == 304
    same = get(served, "plays.mp4", "stream", headers={"range": "bytes=0-9", "if-range": tag})
    assert same.status_code == 206
    other = get(served, "plays.mp4", "stream", headers={"range": "bytes=0-9", "if-range": '"old"'})
    assert other.status_code == 200
    head = served.client.head(f"/api/v1/videos/{served.id_of('plays.mp4')}/stream")
    assert head.status_code == 200 and head.content == b"" and int(head.headers["content-length"]) > 1000


@pytest.mark.parametrize("name", ["a#b%20+c.mp4", "quote\"'s.mp4", "表情🎬.mp4", "new\nline.mp4"])
def test_any_name_plays(served: Served, place: Path, name: str) -> None:
    assert get(served, name, "stream").content == (place / "films" / name).read_bytes()


def test_a_client_that_goes_away_leaves_no_open_file(served: Served) -> None:
    url = f"{served.url}/api/v1/videos/{served.id_of('plays.mp4')}/stream"
    before = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc").exists() else 0
    for _ in range(20):
        with httpx.stream("GET", url, trust_env=False) as answer:
            next(answer.iter_raw(10))
    if before:
        until(lambda: len(list(Path("/proc/self/fd").iterdir())) <= before + 5)


def test_a_file_that_was_changed_or_is_gone_is_not_served(tmp_path: Path) -> None:
    file = (
        render(tmp_path / "films" / "a.mp4", [numbered(n) for n in range(10)])
        if (tmp_path / "films").mkdir() is None
        else None
    )
    assert file is not None
    library = open_library(tmp_path / "library")
    library.index(tmp_path / "films")
    with serving(library) as served:
        video = served.id_of("a.mp4")
        assert served.client.get(f"/api/v1/videos/{video}/stream").status_code == 200
        secret = tmp_path / "secret.txt"
        secret.write_text("password")
        file.unlink()
        file.symlink_to(secret)
        changed = served.client.get(f"/api/v1/videos/{video}/stream")
        assert changed.status_code == 409 and changed.json()["error"] == "MediaChanged"
        assert served.client.get(f"/api/v1/videos/{video}/frame", params={"at": 0, "full": 1}).status_code == 409
        assert served.client.get(f"/api/v1/videos/{video}/rendition?start=0&end=1").status_code == 409
        file.unlink()
        gone = served.client.get(f"/api/v1/videos/{video}/stream")
        assert gone.status_code == 404 and str(tmp_path) not in gone.text
        assert served.client.get(f"/api/v1/videos/{video}/frame", params={"at": 0}).status_code == 200  # kept


def test_another_copy_is_used_when_the_first_is_gone(tmp_path: Path) -> None:
    one, two = tmp_path / "1.mp4", tmp_path / "2.mp4"
    two.write_bytes(b"two")
    facts = two.stat()
    files = (MediaFile(str(one), 3, 5), MediaFile(str(two), facts.st_size, facts.st_mtime_ns))
    video = Video("ab", files, 1, 1, 1, 1, "", "", 0, 0, "")
    assert path_of(video) == two
    two.write_bytes(b"other")
    with pytest.raises(MediaChanged):
        open_file(video)
    two.unlink()
    with pytest.raises(MediaNotFound):
        open_file(video)


# ------------------------------------------------------------------------------------------------------- renditions


def test_what_does_not_play_is_redirected_to_a_rendition(served: Served) -> None:
    for name in ("old.avi", "turned.mov", "wide.mkv"):
        how = get(served, name, "playback").json()
        assert how["mode"] == "rendition" and how["reason"]
        answer = get(served, name, "stream", params={"start": 0.2, "end": 0.8})
        assert answer.status_code == 302
        played = served.client.get(answer.headers["location"], headers={"range": "bytes=4-7"})
        assert played.status_code == 206 and played.content == b"ftyp"
    assert get(served, "plays.mp4", "playback").json()["mode"] == "direct"


def numbers(data: bytes) -> list[int]:
    with av.open(io.BytesIO(data)) as file:
        return [read_number(frame.to_ndarray(format="rgb24")) for frame in file.decode(video=0)]


def test_a_rendition_has_the_frames_of_its_range(served: Served) -> None:
    answer = get(served, "old.avi", "rendition", params={"start": 1.0, "end": 2.0})
    assert answer.status_code == 200, answer.text
    assert numbers(answer.content) == list(range(25, 50))
    with av.open(io.BytesIO(answer.content)) as file:
        stream = file.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert stream.average_rate == 25 and stream.codec_context.sample_aspect_ratio in (None, 1)
    sounding = get(served, "plays.mp4", "rendition", params={"start": 1.0, "end": 2.0}).content
    with av.open(io.BytesIO(sounding)) as file:
        assert file.streams.audio[0].codec_context.name == "aac"
        seconds = sum(f.samples / f.sample_rate for f in file.decode(audio=0))
        assert seconds == pytest.approx(1.0, abs=0.1)


def test_rotation_and_pixel_shape_are_baked_in(served: Served) -> None:
    turned = get(served, "turned.mov", "rendition", params={"start": 0, "end": 0.5}).content
    exact = get(served, "turned.mov", "frame", params={"at": 0.1, "full": 1}).content
    with av.open(io.BytesIO(turned)) as file:
        picture = next(file.decode(video=0)).to_ndarray(format="rgb24")
    shown = np.asarray(Image.open(io.BytesIO(exact)))
    assert picture.shape == shown.shape == (160, 96, 3)
    assert np.abs(picture.astype(int) - shown).mean() < 6
    wide = get(served, "wide.mkv", "rendition", params={"start": 0, "end": 1}).content
    with av.open(io.BytesIO(wide)) as file:
        stream = file.streams.video[0]
        assert (stream.width, stream.height) == (320, 96) and stream.average_rate == Fraction(30000, 1001)


def test_a_small_rendition(served: Served, tmp_path: Path) -> None:
    render(tmp_path / "tall.avi", [numbered(n, 480, 360) for n in range(10)], codec="mpeg4")
    served.library.index(tmp_path)
    answer = get(served, "tall.avi", "rendition", params={"start": 0, "end": 1, "height": 180})
    with av.open(io.BytesIO(answer.content)) as file:
        assert (file.streams.video[0].width, file.streams.video[0].height) == (240, 180)


@pytest.mark.ffmpeg
def test_ffmpeg_reads_a_rendition_without_complaint(served: Served, tmp_path: Path) -> None:
    file = tmp_path / "r.mp4"
    file.write_bytes(get(served, "plays.mp4", "rendition", params={"start": 0.5, "end": 3}).content)
    told = subprocess.run(
        ["ffmpeg", "-v", "warning", "-i", str(file), "-f", "null", "-"], capture_output=True, text=True, check=True
    )
    assert told.stderr == ""


@pytest.mark.parametrize(
    ("start", "end", "status"), [(2, 1, 400), (1, 1, 400), (0, 5000, 400), (100, 101, 400), (-1, 2, 422)]
)
def test_ranges_that_are_none(served: Served, start: float, end: float, status: int) -> None:
    answer = get(served, "old.avi", "rendition", params={"start": start, "end": end})
    assert answer.status_code == status and answer.json()["message"]


def test_the_exact_frame_and_the_kept_one(served: Served) -> None:
    for at, number in ((0.0, 0), (1.0, 25), (1.03, 25), (3.96, 99), (50.0, 99)):
        full = get(served, "old.avi", "frame", params={"at": at, "full": 1})
        assert read_number(np.asarray(Image.open(io.BytesIO(full.content)))) == number
    small = get(served, "old.avi", "frame", params={"at": 1.5})
    assert small.headers["content-type"] == "image/jpeg"
    low = get(served, "old.avi", "frame", params={"at": 1, "full": 1, "height": 48})
    assert Image.open(io.BytesIO(low.content)).height == 48


def test_one_build_for_many_who_ask(served: Served) -> None:
    renditions = Renditions(served.library.path / "cache" / "shared", 1 << 30)
    video = served.library.get(served.id_of("plays.mp4"))
    sizes: list[int] = []

    def ask() -> None:
        with renditions.open(video, 0.0, 3.0) as file:
            sizes.append(len(file.read()))

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(sizes) == 6 and len(set(sizes)) == 1
    assert (renditions.builds, renditions.hits) == (1, 5)


def test_the_least_recently_used_go_first(served: Served) -> None:
    root = served.library.path / "cache" / "small"
    video = served.library.get(served.id_of("plays.mp4"))
    free = Renditions(root, 1 << 30)
    for start in (0.0, 1.0, 2.0):
        free.open(video, start, start + 1).close()
        time.sleep(0.02)
    free.open(video, 0.0, 1.0).close()  # used again
    limit = free.size_bytes + 1000
    tight = Renditions(root, limit)
    tight.open(video, 2.5, 3.5).close()
    kept = {p.name.split("-")[1] for p in root.glob("[!.]*.mp4")}
    assert "1000" not in kept and {"0", "2500"} <= kept and tight.size_bytes <= limit
    assert not list(root.glob(".*"))


def test_a_failed_build_leaves_nothing(served: Served, place: Path) -> None:
    renditions = Renditions(place / "none", 1 << 30)
    video = served.library.get(served.id_of("plays.mp4"))
    with pytest.raises(QueryError):
        renditions.open(video, 3.0, 2.0)
    with pytest.raises(QueryError):
        renditions.open(video, 0, 601)
    assert not list((place / "none").glob("*"))


@pytest.mark.real
@pytest.mark.parametrize(
    "name",
    [
        "decord_video_90.mov",
        "fate-suite_hdr10tags-both.mkv",
        "fate-suite_interlaced_crop.mp4",
        "fate-suite_packed_bframes.avi",
        "fate-suite_vp8_video_with_alpha.mp4",
        "PHP-FFMpeg_portrait.MOV",
        "fate-suite_Sequence_1-Apple_ProRes_422_Proxy.mp4",
    ],
)
def test_real_files_become_playable(data: Path, tmp_path: Path, name: str) -> None:
    file = data / "awkward" / name
    facts = file.stat()
    found = tracks(file)
    seconds, count, _, _ = clip_extent(file, lambda: None)
    assert count > 0
    record = (MediaFile(str(file), facts.st_size, facts.st_mtime_ns),)
    video = Video("ab12", record, seconds, 1, 1, 1, "", "", 0, 0, "")
    with Renditions(tmp_path, 1 << 30).open(video, 0.0, min(seconds, 1.0)) as made, av.open(made) as played:
        stream = played.streams.video[0]
        assert sum(1 for _ in played.decode(stream)) > 0
        assert stream.codec_context.pix_fmt == "yuv420p" and stream.height <= 1080
    assert way(found).mode in ("direct", "rendition")
    assert way(tracks(Path(made.name))).mode == "direct"
