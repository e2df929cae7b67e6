"""Videos behind URLs: what a place is, how it is read, and what happens when its service does not do its part."""

from __future__ import annotations

import functools
import http.server
import io
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from clips import clip, encoder, identity, library, statuses
from object_store import Store, forget

from footage.catalog import Job, Refused, digest, scan
from footage.config import Settings
from footage.errors import ConfigError, MediaDenied, MediaNotFound, MediaUnreachable, UnsupportedMedia
from footage.library import Library
from footage.media import listen, open_video, probe, read_picture
from footage.media.cut import cut_clip, frame_at
from footage.places import TRAFFIC, Remote, Spool, inside, is_as_it_was, is_gone, is_url, look, normal, place, system
from footage.places.blocks import BLOCK, Blocks, NoRanges
from footage.playback import Renditions, path_of
from footage.types import MediaFile

SECRET = "a-very-secret-key"


@pytest.fixture
def lib(tmp_path: Path) -> Iterator[Library]:
    with library(tmp_path / "library") as found:
        yield found


def noise(path: Path, seconds: int, **options: str) -> Path:
    """A video of noise, which no codec makes small: some 1 MB a second."""
    rng = np.random.default_rng(1)
    with av.open(str(path), "w", options=options) as out:
        stream = out.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 320, 240, "yuv420p", 8_000_000
        sound = out.add_stream("aac", rate=48000)
        sound.layout = "mono"
        for number in range(10 * seconds):
            picture = rng.integers(0, 256, (240, 320, 3), dtype=np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            wave = rng.normal(0, 0.1, (1, 4800)).astype(np.float32)
            heard = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
            heard.sample_rate, heard.pts = 48000, number * 4800
            out.mux(sound.encode(heard))
        out.mux(stream.encode(None))
        out.mux(sound.encode(None))
    return path


# ------------------------------------------------------------------------------------------------------------ names


def test_a_url_is_one_with_two_slashes_and_nothing_else() -> None:
    assert is_url("s3://b/k") and is_url("HTTPS://h/x")
    assert not any(map(is_url, ("http:x", "/srv/http://x", "C:\\films", "films/a.mp4", "", Path("s3://b"))))


def test_urls_are_written_in_one_way() -> None:
    assert normal("S3://films/a b/") == normal("s3a://films/a b") == "s3://films/a b"
    assert normal("gcs://films/x") == "gs://films/x"
    assert normal("http://h/a%20b.mp4#t=3") == "http://h/a%20b.mp4"
    assert place("s3://films/deep/talk.final.mp4") == Remote("s3://films/deep/talk.final.mp4")
    found = place("http://h/a%20b.mp4?id=7")
    assert isinstance(found, Remote) and (found.name, found.stem, found.suffix) == ("a b.mp4", "a b", ".mp4")
    assert place("a.mp4") == Path("a.mp4")


@pytest.mark.parametrize(
    "bad",
    [
        f"s3://AKIA:{SECRET}@films/x.mp4",
        f"http://me:{SECRET}@host/x.mp4",
        f"sftp://me:{SECRET}@host/x.mp4",
        f"https://films.invalid/x.mp4?X-Amz-Signature={SECRET}",
        f"https://films.invalid/x.mp4?id=1&sig={SECRET}",
    ],
)
def test_what_is_secret_is_refused_and_not_repeated(bad: str, lib: Library) -> None:
    with pytest.raises(ConfigError) as raised:
        normal(bad)
    assert raised.value.hint
    assert SECRET not in str(raised.value) + raised.value.hint
    with pytest.raises(ConfigError):
        lib.index([bad])
    assert not any(SECRET.encode() in f.read_bytes() for f in lib.path.rglob("*") if f.is_file())


@pytest.mark.parametrize(
    "bad", ["ftp://h/x", "simplecache::s3://b/k", "file:///etc/passwd", "s3://", "http:///x", "http://h/a/../x",
            "http://h/a/%2e%2e/x", "http://h/a/%252e%252e/x", "http://h/a\nb", "http://h\\@x/y"],
)  # fmt: skip
def test_other_urls_are_refused(bad: str) -> None:
    with pytest.raises(ConfigError):
        normal(bad)


def test_inside_is_by_whole_names() -> None:
    assert inside("s3://b/films/x", "s3://b/films") and inside("s3://b/films", "s3://b/films")
    assert not inside("s3://b/films2/x", "s3://b/films") and not inside("s3://b2/x", "s3://b")


def test_a_missing_package_is_named(lib: Library) -> None:
    (row,) = lib.index(["gs://films/x.mp4"])
    assert row.status == "failed" and isinstance(row.error, MediaUnreachable)
    assert "gcsfs" in row.error.message and "gcsfs" in row.error.hint


# ---------------------------------------------------------------------------------------------------------- reading


class Memory:
    """Bytes that count what is asked of them."""

    def __init__(self, data: bytes, ranges: bool = True) -> None:
        self.data, self.ranges, self.url = data, ranges, "http://memory/x"
        self.asked: list[tuple[int, int]] = []

    def fetch(self, start: int, end: int) -> bytes:
        if not self.ranges:
            raise NoRanges
        self.asked.append((start, end))
        return self.data[start:end]

    def whole(self) -> Iterator[bytes]:
        self.asked.append((0, len(self.data)))
        yield from (self.data[at : at + 1000] for at in range(0, len(self.data), 1000))


def test_reading_in_order_asks_for_more_and_more() -> None:
    source = Memory(np.random.default_rng(0).bytes(20 << 20))
    blocks = Blocks(source, len(source.data))
    got = b"".join(blocks.read(at, 32 << 10) for at in range(0, len(source.data), 32 << 10))
    assert got == source.data
    sizes = [(end - start) // BLOCK for start, end in source.asked]
    assert sizes[:6] == [1, 2, 4, 8, 16, 32]
    assert sum(end - start for start, end in source.asked) == len(source.data), "each byte once"


def test_two_runs_far_apart_are_both_followed_and_jumps_stay_small() -> None:
    source = Memory(np.random.default_rng(0).bytes(40 << 20))
    blocks = Blocks(source, len(source.data))
    for step in range(0, 8 << 20, 64 << 10):
        for base in (0, 20 << 20):
            assert blocks.read(base + step, 1000) == source.data[base + step : base + step + 1000]
    assert len(source.asked) < 16
    before = len(source.asked)
    blocks.read(39 << 20, 10)
    assert source.asked[before:] == [(39 << 20, (39 << 20) + BLOCK)]


def test_a_spool_is_filled_once_and_bounded() -> None:
    source = Memory(np.random.default_rng(0).bytes(3_000_000))
    with Spool(4_000_000) as spool:
        for _ in range(3):
            assert Blocks(source, len(source.data), spool=spool).read(0, 4_000_000) == source.data
        assert sum(end - start for start, end in source.asked) == len(source.data)
    source.asked.clear()
    with Spool(2_000_000) as spool:
        blocks = Blocks(source, len(source.data), spool=spool)
        assert blocks.read(2_999_000, 5000) == source.data[2_999_000:]
        assert not spool.have


def test_without_ranges_the_whole_is_fetched_once_or_refused() -> None:
    source = Memory(np.random.default_rng(0).bytes(3_000_001), ranges=False)
    blocks = Blocks(source, len(source.data), own=4_000_000)
    assert blocks.read(2_000_000, 100) == source.data[2_000_000:2_000_100]
    assert blocks.read(0, 5_000_000) == source.data
    assert len(source.asked) == 1
    with pytest.raises(UnsupportedMedia, match="only as a whole"):
        Blocks(source, len(source.data), own=1_000_000).read(0, 1)


@pytest.mark.parametrize(
    ("name", "options", "most_requests"),
    [("end.mp4", {}, 12), ("start.mp4", {"movflags": "faststart"}, 10), ("film.mkv", {}, 10)],
)
def test_containers_are_read_by_ranges(
    s3: Store, tmp_path: Path, name: str, options: dict[str, str], most_requests: int
) -> None:
    """A probe and a picture from the middle cost a part of the file, wherever its index lies."""
    made = noise(tmp_path / name, 20, **options)
    url, size = s3.put(name, made), made.stat().st_size
    assert size > 8 << 20
    assert probe(url) == probe(made)
    probed = s3.gate.sent
    assert np.array_equal(frame_at(url, 10.0), frame_at(made, 10.0))
    assert probed < 0.3 * size and s3.gate.sent < 0.5 * size
    gets = [r for r in s3.gate.requests if r[0] == "GET"]
    assert len(gets) <= most_requests and all(r[2].startswith("bytes=") for r in gets)


def test_indexing_fetches_each_byte_once(s3: Store, tmp_path: Path, lib: Library) -> None:
    made = noise(tmp_path / "film.mp4", 12)
    url = s3.put("film.mp4", made)
    before = TRAFFIC.bytes
    (row,) = lib.index([url])
    assert row.status == "indexed" and row.path == url and row.video_id == identity(made)
    size = made.stat().st_size
    assert size <= s3.gate.sent < 1.05 * size + 100_000
    assert TRAFFIC.bytes - before == pytest.approx(size, rel=0.01)


def test_without_room_on_disk_it_is_fetched_again(s3: Store, tmp_path: Path) -> None:
    made = noise(tmp_path / "film.mp4", 24)
    size = made.stat().st_size
    assert size > 20 << 20  # more than is kept in memory
    with Library.open(tmp_path / "library", settings=Settings(spool=0), encoder=encoder()) as lib:
        (row,) = lib.index([s3.put("film.mp4", made)])
    assert row.status == "indexed" and s3.gate.sent > 1.5 * size


def test_a_url_gives_what_the_file_gives(s3: Store, tmp_path: Path) -> None:
    made = noise(tmp_path / "a b#1 é.mp4", 3)
    url = s3.put("deep/a b#1 é.mp4", made)
    assert digest(url, lambda: None) == digest(str(made), lambda: None) == identity(made)
    with open_video(url) as there, open_video(made) as here:
        assert [f.time for f in there.frames()] == [f.time for f in here.frames()]
        assert (there.duration, there.warning) == (here.duration, here.warning)
    assert np.array_equal(np.concatenate(list(listen(url))), np.concatenate(list(listen(made))))
    for fast in (False, True):
        one = cut_clip(url, tmp_path / "1.mp4", 1.0, 2.0, fast=fast)
        two = cut_clip(made, tmp_path / "2.mp4", 1.0, 2.0, fast=fast)
        assert (one.start, one.end, one.frames) == (two.start, two.end, two.frames)


def test_a_picture_behind_a_url(s3: Store, tmp_path: Path) -> None:
    from PIL import Image

    Image.fromarray(np.full((40, 60, 3), 200, np.uint8)).save(tmp_path / "x.png")
    assert read_picture(s3.put("x.png", tmp_path / "x.png")).shape == (40, 60, 3)
    with pytest.raises(UnsupportedMedia, match="not a picture"):
        read_picture(s3.put("x.txt", b"words"))


# ------------------------------------------------------------------------------------------- a library over a bucket


def test_index_find_and_forget(s3: Store, tmp_path: Path, lib: Library) -> None:
    """The whole way: listing, search, stills, clips, playing, copies, doctor, moving, removal."""
    film = clip(tmp_path / "film.mp4", 0, 1, 2)
    url = s3.put("films/film.mp4", film)
    s3.put("films/notes.txt", b"not a video")
    s3.put("films/.hidden.mp4", film)
    s3.put("films/broken.mp4", film.read_bytes()[:300])
    rows = {r.path: r for r in lib.index([s3.url("films")])}
    assert {p: r.status for p, r in rows.items()} == {url: "indexed", s3.url("films/broken.mp4"): "failed"}
    assert lib.failures()[0]["path"] == s3.url("films/broken.mp4")
    assert statuses_of(lib, s3.url("films")) == {"film.mp4": "unchanged", "broken.mp4": "failed"}
    (video,) = lib.videos()
    assert lib.get(url) == lib.get(url + "/") == video and video.path == url
    best = lib.search(image=frame_at(film, 1.5))[0]
    assert best.video.path == url and best.start <= 1.5 < best.end
    assert lib.search(video=url)[0].video.id == video.id
    assert lib.picture(video.id, 1.5).shape[:2] == (video.height, video.width)
    assert any(m.video.id == video.id for m in lib.copies(url))
    (made,) = lib.export([best], tmp_path / "out.mp4")
    assert made.error is None and probe(tmp_path / "out.mp4").duration > 0.5
    lib.export([best], tmp_path / "out.csv")
    assert url in (tmp_path / "out.csv").read_text()
    lib.export([best], tmp_path / "out.fcpxml")
    assert url in (tmp_path / "out.fcpxml").read_text()
    with Renditions(tmp_path / "renditions", 1 << 30).open(video, 0.5, 1.5) as rendition:
        assert probe(rendition.name).duration == pytest.approx(1.0, abs=0.2)
    assert path_of(video) == Remote(url) and is_as_it_was(video.files[0])
    assert lib.doctor() == []
    s3.put("films/renamed.mp4", film)
    s3.remove("films/film.mp4")
    assert statuses_of(lib, s3.url("films")) == {"renamed.mp4": "moved", "broken.mp4": "failed"}
    s3.remove("films/renamed.mp4")
    assert statuses_of(lib, s3.url("films")) == {"renamed.mp4": "vanished", "broken.mp4": "failed"}
    assert [f.problem for f in lib.doctor()] == ["missing"]
    assert statuses_of(lib, s3.url("films"), prune=True)["renamed.mp4"] == "pruned"
    assert lib.videos() == []


def statuses_of(lib: Library, *urls: str, **options: Any) -> dict[str, str]:
    return {r.path.rsplit("/", 1)[-1]: r.status for r in lib.index(list(urls), **options)}


def test_the_same_content_here_and_there_is_one_video(s3: Store, tmp_path: Path, lib: Library) -> None:
    film = clip(tmp_path / "films" / "film.mp4", 0, 1)
    url = s3.put("film.mp4", film)
    assert statuses(lib, film.parent) == {"film.mp4": "indexed"}
    assert statuses_of(lib, url) == {"film.mp4": "unchanged"}
    (video,) = lib.videos()
    assert {f.path for f in video.files} == {film.as_posix(), url}
    film.unlink()
    assert path_of(video) == Remote(url), "what is away here is read there"


def test_an_object_written_twice_within_a_second_is_another_one(s3: Store, tmp_path: Path, lib: Library) -> None:
    one, two = clip(tmp_path / "1.mp4", 0, 1).read_bytes(), bytearray(clip(tmp_path / "1.mp4", 0, 1).read_bytes())
    two[two.index(b"Lavf")] ^= 1  # the name of the muxer: as long, and another content
    url = s3.put("x.mp4", one)
    first = look(url)
    assert statuses_of(lib, url) == {"x.mp4": "indexed"}
    before = lib.videos()[0].id
    s3.put("x.mp4", bytes(two))
    s3.client.head_object(Bucket=s3.bucket, Key="x.mp4")
    assert look(url).size_bytes == first.size_bytes and look(url) != first
    assert not is_as_it_was(first)
    assert statuses_of(lib, url) == {"x.mp4": "indexed"}
    assert lib.videos()[0].id != before


def test_ten_thousand_objects_are_listed_by_pages(s3: Store) -> None:
    from moto.core.models import DEFAULT_ACCOUNT_ID
    from moto.s3.models import s3_backends

    backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
    for number in range(10_000):
        backend.put_object(s3.bucket, f"archive/{number % 100:02d}/film {number:05d}.mp4", b"x")
    found = list(scan([s3.url("archive")]))
    assert len(found) == 10_000 and all(isinstance(item, Job) for item in found)
    paths = [item.file.path for item in found if isinstance(item, Job)]
    assert paths == sorted(paths) and paths[1] == s3.url("archive/00/film 00100.mp4")
    pages = [r for r in s3.gate.requests if "list-type=2" in r[1] and "max-keys=1&" not in r[1]]
    assert len(pages) == 10


# ---------------------------------------------------------------------------------------------- when it goes wrong


def test_a_truncated_object_is_told_as_such(s3: Store, tmp_path: Path, lib: Library) -> None:
    late, early = noise(tmp_path / "late.mp4", 4), noise(tmp_path / "early.mp4", 4, movflags="faststart")
    s3.put("late.mp4", late.read_bytes()[:-200_000])
    s3.put("early.mp4", early.read_bytes()[:-1_000_000])
    rows = {Path(r.path).name: r for r in lib.index([s3.url()])}
    assert rows["late.mp4"].status == "failed" and "damaged" in str(rows["late.mp4"].error)
    assert rows["early.mp4"].status == "indexed" and "ends at" in rows["early.mp4"].warning


def test_one_that_is_denied_does_not_stop_the_others(s3: Store, tmp_path: Path, lib: Library) -> None:
    s3.put("a.mp4", clip(tmp_path / "a.mp4", 0))
    s3.put("b.mp4", clip(tmp_path / "b.mp4", 1))
    s3.gate.deny = lambda path: "a.mp4" in path
    rows = {Path(r.path).name: r for r in lib.index([s3.url()])}
    assert (rows["a.mp4"].status, rows["b.mp4"].status) == ("failed", "indexed")
    assert isinstance(rows["a.mp4"].error, MediaDenied) and "AWS_" in rows["a.mp4"].error.hint
    s3.gate.deny = lambda _: True
    rows = {r.path: r for r in lib.index([s3.url()], prune=True)}
    assert rows[s3.url()].status == "failed" and len(rows) == 1
    assert len(lib.videos()) == 1, "what may not be listed is not gone"
    assert not is_gone(s3.url("a.mp4")) and not is_gone(s3.url("none.mp4"))
    s3.gate.deny = lambda _: False
    assert is_gone(s3.url("none.mp4")) and not is_gone(s3.url("a.mp4"))
    assert statuses_of(lib, s3.url()) == {"a.mp4": "indexed"} | {"b.mp4": "unchanged"}


def test_no_answer_is_no_removal(s3: Store, tmp_path: Path, lib: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    s3.put("x/film.mp4", clip(tmp_path / "film.mp4", 0))
    assert statuses_of(lib, s3.url("x")) == {"film.mp4": "indexed"}
    monkeypatch.setattr(system, "PATIENCE", 5.0)
    for trouble in ({"fail": 1000}, {"cut": lambda _: True}):
        for name, value in trouble.items():
            setattr(s3.gate, name, value)
        (row,) = lib.index([s3.url("x")], prune=True)
        assert row.status == "failed" and isinstance(row.error, MediaUnreachable) and row.error.hint
        s3.gate.fail, s3.gate.cut = 0, lambda _: False
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    forget()
    (row,) = lib.index([s3.url("x")], prune=True)
    assert isinstance(row.error, MediaUnreachable) and row.error.exit_status == 3
    with pytest.raises(MediaUnreachable):
        path_of(lib.videos()[0])
    monkeypatch.setattr(system, "PATIENCE", 60.0)  # from here on there are answers, on a slow machine too
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.gate.url)
    forget()
    s3.client.delete_object(Bucket=s3.bucket, Key="x/film.mp4")
    s3.client.delete_bucket(Bucket=s3.bucket)
    (row,) = lib.index([s3.url("x")], prune=True)
    assert "no such bucket" in str(row.error) and len(lib.videos()) == 1
    s3.client.create_bucket(Bucket=s3.bucket)
    assert "pruned" in statuses_of(lib, s3.url("x"), prune=True).values()


def test_a_failure_that_passes_is_not_noticed(s3: Store, tmp_path: Path, lib: Library) -> None:
    url = s3.put("film.mp4", clip(tmp_path / "film.mp4", 0))
    s3.gate.fail = 2
    assert statuses_of(lib, url) == {"film.mp4": "indexed"}


def test_a_body_that_ends_early_does_not_make_a_short_video(s3: Store, tmp_path: Path, lib: Library) -> None:
    s3.put("bad.mp4", noise(tmp_path / "bad.mp4", 3))
    s3.put("good.mp4", clip(tmp_path / "good.mp4", 1))
    s3.gate.cut = lambda path: "bad" in path
    rows = {Path(r.path).name: r for r in lib.index([s3.url()])}
    assert rows["good.mp4"].status == "indexed"
    assert isinstance(rows["bad.mp4"].error, MediaUnreachable) and "cut off" in str(rows["bad.mp4"].error)
    s3.gate.cut = lambda _: False
    assert statuses_of(lib, s3.url())["bad.mp4"] == "indexed", "the content was not to blame"


def test_a_body_that_ends_early_in_the_middle_of_decoding(s3: Store, tmp_path: Path) -> None:
    url = s3.put("x.mp4", noise(tmp_path / "x.mp4", 6, movflags="faststart"))
    with open_video(url) as reader:
        frames = reader.frames()
        next(frames)
        s3.gate.deny = lambda _: True
        with pytest.raises(MediaDenied):
            list(frames)


def test_a_slow_service_is_waited_for_and_one_that_hangs_is_not(
    s3: Store, tmp_path: Path, lib: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = s3.put("film.mp4", clip(tmp_path / "film.mp4", 0, 1))
    s3.gate.delay = 0.4
    assert statuses_of(lib, url) == {"film.mp4": "indexed"}
    monkeypatch.setattr(system, "PATIENCE", 2.0)
    s3.gate.delay = 120.0
    started = time.monotonic()
    with pytest.raises(MediaUnreachable, match="in time"):
        look(url)
    assert time.monotonic() - started < 60
    s3.gate.delay = 0


def test_no_host_by_that_name(lib: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "PATIENCE", 3.0)
    forget()
    (row,) = lib.index(["http://no-such-host.invalid/x.mp4"])
    assert isinstance(row.error, MediaUnreachable) and "host" in str(row.error) and row.error.hint


# ------------------------------------------------------------------------------------------------------------- http


class Ranged(http.server.SimpleHTTPRequestHandler):
    """Python's own file server, which knows no ranges, and the few lines that it lacks."""

    ranges = True
    elsewhere = ""

    def log_message(self, *_: Any) -> None:
        pass

    def send_head(self) -> Any:
        if self.elsewhere and "moved" in self.path:
            self.send_response(302)
            self.send_header("location", self.elsewhere)
            self.send_header("content-length", "0")
            self.end_headers()
            return None
        wanted = self.headers.get("range")
        found = Path(self.translate_path(self.path))
        if not (self.ranges and wanted and found.is_file()):
            return super().send_head()
        first, last = wanted.removeprefix("bytes=").split("-")
        size = found.stat().st_size
        start, end = int(first), min(int(last) + 1, size)
        self.send_response(206)
        self.send_header("content-range", f"bytes {start}-{end - 1}/{size}")
        self.send_header("content-length", str(end - start))
        self.end_headers()
        return io.BytesIO(found.read_bytes()[start:end])


class Whole(Ranged):
    ranges = False


@contextmanager
def web(folder: Path, handler: type[Ranged]) -> Iterator[str]:
    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=str(folder)))
    made.daemon_threads = True
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    forget()
    try:
        yield f"http://127.0.0.1:{made.server_address[1]}"
    finally:
        made.shutdown()
        made.server_close()
        forget()


@pytest.mark.parametrize("handler", [Ranged, Whole])
def test_http_with_and_without_ranges(tmp_path: Path, lib: Library, handler: type[Ranged]) -> None:
    films = tmp_path / "films"
    film = clip(films / "one 1.mp4", 0, 1)
    clip(films / "more" / "two.mp4", 2, 3)
    (films / "notes.txt").write_text("nothing")
    with web(films, handler) as url:
        assert statuses_of(lib, url + "/") == {"one%201.mp4": "indexed", "two.mp4": "indexed"}
        assert statuses_of(lib, url + "/") == {"one%201.mp4": "unchanged", "two.mp4": "unchanged"}
        video = next(v for v in lib.videos() if v.id == identity(film))
        assert lib.picture(video.id, 1.2).shape[0] == video.height
        film.unlink()
        assert statuses_of(lib, url + "/") == {"two.mp4": "unchanged", "one%201.mp4": "vanished"}
        assert isinstance(next(iter(scan([url + "/none.mp4"]))), Refused)
    assert statuses_of(lib, url + "/", prune=True).popitem()[1] == "failed"
    assert len(lib.videos()) == 2


def test_a_file_that_comes_only_whole_and_does_not_fit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from footage.places import remote

    noise(tmp_path / "x.mp4", 2)
    monkeypatch.setattr(remote, "_OWN_SPOOL", 100)
    with web(tmp_path, Whole) as url, pytest.raises(UnsupportedMedia, match="only as a whole"):
        list(open_video(url + "/x.mp4").frames())


def test_a_redirect_to_another_host_is_not_followed(tmp_path: Path) -> None:
    clip(tmp_path / "x.mp4", 0)
    with web(tmp_path, Ranged) as inner:

        class Moved(Ranged):
            elsewhere = inner.replace("127.0.0.1", "localhost") + "/x.mp4"

        class Inside(Ranged):
            elsewhere = "/x.mp4"

        with web(tmp_path, Moved) as url, pytest.raises(MediaUnreachable, match="another host"):
            look(url + "/moved.mp4")
        with web(tmp_path, Inside) as url:
            assert look(url + "/moved.mp4").size_bytes == (tmp_path / "x.mp4").stat().st_size


def test_gone_of_paths_is_as_before(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"1")
    assert not is_gone(str(tmp_path / "x")) and is_gone(str(tmp_path / "y")) and is_gone(str(tmp_path / "x" / "z"))
    with pytest.raises(MediaNotFound):
        look(tmp_path / "y")
    with pytest.raises(UnsupportedMedia):
        look(tmp_path)
    facts = (tmp_path / "x").stat()
    assert look(str(tmp_path / "x")) == MediaFile(str(tmp_path / "x"), 1, facts.st_mtime_ns)
