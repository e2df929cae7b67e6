"""Export over REST: every format downloaded from a real server, read back, and nothing left behind."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from email.message import EmailMessage
from email.policy import HTTP
from pathlib import Path
from typing import get_args
from urllib.parse import unquote, unquote_to_bytes
from xml.etree import ElementTree

import av
import httpx
import numpy as np
import pytest
from clips import library as open_library
from clips import remux
from media_samples import numbered, read_number, render
from PIL import Image
from serving import Served, serving

from footage.api import Limits, ServeOptions
from footage.api.downloads import attachment
from footage.api.export_models import ExportFormat
from footage.export import FORMATS, moment_of
from footage.export.shots import shots
from footage.media import cut

otio = pytest.importorskip("opentimelineio")
FPS, SECONDS = 25, 8
ODD = "a \"b\" 'c' #1 100%41 ;\n🎬太空.mp4" if os.name != "nt" else "a 'c' #1 100%41 ;🎬太空.mp4"
FOLDER = "ada's: private\nfilms" if os.name != "nt" else "ada's private films"
"""No message and no list may tell a remote user of it; a pattern for paths would stumble over it."""


def film(path: Path, seconds: int = SECONDS) -> Path:
    """Numbered pictures, a key frame a second, and sound."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures = [numbered(n) for n in range(seconds * FPS)]
    return render(path, pictures, fps=FPS, options={"g": str(FPS), "preset": "ultrafast"}, audio=float(seconds))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("exporting")
    folder = root / FOLDER / "films"
    film(folder / "plain.mov")
    remux(folder / "plain.mov", folder / "odd.mp4", "odd").rename(folder / ODD)
    open_library(root / "library").index(folder)
    return root


@pytest.fixture(scope="module")
def served(place: Path) -> Iterator[Served]:
    with serving(open_library(place / "library")) as found:
        yield found


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Servers of a film of one's own, which the test may take away, with limits of one's own."""
    from contextlib import ExitStack

    with ExitStack() as stack:

        def start(**limits: float) -> Served:
            library = open_library(tmp_path / "library")
            if not library.exists():
                folder = tmp_path / FOLDER / "films"
                remux(film(folder / "mine.mp4"), folder / "other.mp4", "2")
                library.index(folder)
            options = ServeOptions(limits=Limits(**limits))  # type: ignore[arg-type]
            return stack.enter_context(serving(library, options))

        yield start


def ask(served: Served, *moments: tuple[str, float, float], format: str, **more: object) -> httpx.Response:
    body = {"moments": [{"video": v, "start": s, "end": e} for v, s, e in moments], "format": format, **more}
    return served.client.post("/api/v1/export", json=body)


def name_of(answer: httpx.Response) -> str:
    """What a browser saves it as."""
    header = answer.headers["content-disposition"]
    found = re.fullmatch(r"attachment; filename=\"([ -~]+)\"; filename\*=UTF-8''([A-Za-z0-9!#$&+.^_`|~%-]+)", header)
    assert found is not None, header
    assert not set('"%\\/') & set(found[1])
    return unquote_to_bytes(found[2]).decode()


def numbers(data: bytes) -> list[int]:
    """The numbers in the pictures of a clip."""
    with av.open(io.BytesIO(data)) as container:
        return [read_number(f.to_ndarray(format="rgb24")) for f in container.decode(video=0)]


def left(served: Served) -> list[Path]:
    """What stands where exports are made; by os.walk, as rglob cannot bear that folders are removed meanwhile."""
    walked = os.walk(served.library.path / "cache" / "exports")
    return [Path(root, name) for root, folders, files in walked for name in (*folders, *files)]


def emptied(served: Served, seconds: float = 120) -> bool:
    """Wait until nothing is left of any export."""
    until = time.monotonic() + seconds
    while left(served) and time.monotonic() < until:
        time.sleep(0.05)
    return not left(served)


def with_a_place(asked: Callable[[], httpx.Response], seconds: float = 120) -> httpx.Response:
    """The answer, once a place is free: it is given back right after the folder is removed, not with it."""
    until = time.monotonic() + seconds
    while (answer := asked()).status_code == 429 and time.monotonic() < until:
        time.sleep(0.05)
    return answer


# ------------------------------------------------------------------------------------------------ clips and pictures


def test_every_format_of_the_command_line_is_offered() -> None:
    assert set(get_args(ExportFormat)) == set(FORMATS)


def test_an_exact_clip_has_exactly_the_frames(served: Served) -> None:
    answer = ask(served, (served.id_of("plain.mov"), 2.4, 4.0), format="clip")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "video/mp4"
    assert name_of(answer) == "plain_00-00-02.400_00-00-04.000.mp4"
    assert len(answer.content) == int(answer.headers["content-length"])
    assert numbers(answer.content) == list(range(60, 100))
    with av.open(io.BytesIO(answer.content)) as container:
        assert container.duration == pytest.approx(1.6e6, abs=3e4)
        assert container.streams.audio
    assert emptied(served)


def test_a_fast_clip_is_copied_from_the_key_frame_before(served: Served) -> None:
    answer = ask(served, (served.id_of("plain.mov"), 2.4, 4.0), format="clip", mode="fast")
    assert answer.headers["content-type"] == "video/quicktime" and name_of(answer).endswith(".mov")
    assert numbers(answer.content)[0] == 50
    other = ask(served, (served.id_of("plain.mov"), 2.4, 4.0), format="clip", mode="fast", container="mkv")
    assert other.headers["content-type"] == "video/x-matroska" and other.content[:4] == b"\x1aE\xdf\xa3"


def test_settings_of_the_command_line(served: Served) -> None:
    video = served.id_of("plain.mov")
    wide = ask(served, (video, 2.0, 3.0), format="clip", pad=0.4, height=48, container="mkv")
    assert numbers(wide.content) == list(range(40, 85))
    with av.open(io.BytesIO(wide.content)) as container:
        assert (container.format.name, container.streams.video[0].height) == ("matroska,webm", 48)
    titled = ask(served, (video, 2.0, 3.0), format="edl", title="My / cut")
    assert titled.text.startswith("TITLE: My / cut\n") and name_of(titled) == "My _ cut.edl"


def test_a_clip_has_an_address(served: Served) -> None:
    video = served.id_of("plain.mov")
    answer = served.client.get(f"/api/v1/videos/{video}/clip", params={"start": 1, "end": 2})
    assert answer.status_code == 200 and numbers(answer.content) == list(range(25, 50))
    assert name_of(answer) == "plain_00-00-01.000_00-00-02.000.mp4"
    fast = served.client.get(f"/api/v1/videos/{video[:8]}/clip?start=1.5&end=2&mode=fast")
    assert name_of(fast) == "plain_00-00-01.500_00-00-02.000.mov" and numbers(fast.content)[0] == 25
    assert emptied(served)


def test_pictures_are_the_very_frames(served: Served) -> None:
    video = served.id_of("plain.mov")
    body = {"moments": [{"video": video, "start": 2, "end": 4, "at": 3.2}], "format": "frame"}
    for picture, kind in (("png", "PNG"), ("jpeg", "JPEG")):
        answer = served.client.post("/api/v1/export", json={**body, "picture": picture})
        shown = Image.open(io.BytesIO(answer.content))
        assert shown.format == kind and shown.size == (160, 96) and read_number(np.asarray(shown)) == 80
        assert answer.headers["content-type"] == f"image/{picture}"
        assert name_of(answer) == f"plain_00-00-03.200.{'png' if picture == 'png' else 'jpg'}"


def test_a_frame_has_an_address(served: Served) -> None:
    video = served.id_of("plain.mov")
    shown = served.client.get(f"/api/v1/videos/{video}/frame?at=3.2&full=1&format=png&download=1")
    assert name_of(shown) == "plain_00-00-03.200.png" and shown.headers["content-type"] == "image/png"
    assert read_number(np.asarray(Image.open(io.BytesIO(shown.content)))) == 80
    key = served.client.get(f"/api/v1/videos/{video}/frame?at=3.2&download=1")
    assert name_of(key) == "plain_00-00-03.200.jpg" and key.content[:2] == b"\xff\xd8"
    assert "content-disposition" not in served.client.get(f"/api/v1/videos/{video}/frame?at=3.2").headers
    refused = served.client.get(f"/api/v1/videos/{video}/frame?at=3.2&format=png")
    assert refused.status_code == 422 and "full=1" in refused.json()["hint"]


def test_several_come_in_a_zip(served: Served) -> None:
    plain, odd = served.id_of("plain.mov"), served.id_of(ODD)
    answer = ask(served, (plain, 0, 1), (odd, 1, 2), (plain, 0, 1), format="clip", title="Best of 太空")
    assert answer.status_code == 200, answer.text
    assert name_of(answer) == "Best of 太空.zip" and answer.headers["x-failed-count"] == "0"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        assert {i.compress_type for i in archive.infolist()} == {zipfile.ZIP_STORED}
        first, second, third = archive.namelist()
        assert (first, third) == (
            "plain_00-00-00.000_00-00-01.000.mp4",
            "plain_00-00-00.000_00-00-01.000 (2).mp4",
        )
        assert "🎬太空" in second and not set('"\n/\\') & set(second)
        assert [numbers(archive.read(n))[0] for n in (first, second, third)] == [0, 25, 0]
    pictures = ask(served, (plain, 0, 1), (odd, 1, 2), format="frame", picture="jpeg")
    with zipfile.ZipFile(io.BytesIO(pictures.content)) as archive:
        shown = [read_number(np.asarray(Image.open(io.BytesIO(archive.read(n))))) for n in archive.namelist()]
        assert shown == [12, 37]
    assert emptied(served)


# ------------------------------------------------------------------------------------------------------------- lists


@pytest.fixture(scope="module")
def wanted(served: Served) -> list[tuple[str, float, float]]:
    return [(served.id_of("plain.mov"), 1.0, 3.0), (served.id_of(ODD), 2.2, 2.6)]


def listed(served: Served, wanted: list[tuple[str, float, float]], format: str) -> httpx.Response:
    answer = ask(served, *wanted, format=format, title="Cut 一")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == FORMATS[format].media_type
    assert name_of(answer) == f"Cut 一{FORMATS[format].suffixes[0]}"
    return answer


def test_an_edl_comes_back_to_the_frame(served: Served, wanted: list) -> None:
    text = listed(served, wanted, "edl").text
    timeline = otio.adapters.read_from_string(text, "cmx_3600", rate=FPS)
    (track,) = (t for t in timeline.tracks if t.kind == "Video")
    assert [c.source_range.start_time.to_frames() for c in track] == [25, 55]
    assert [c.source_range.duration.to_frames() for c in track] == [50, 10]
    paths = [v.path for v in (served.library.get(w[0]) for w in wanted)]
    assert [c.media_reference.target_url for c in track] == [p if p.isprintable() else Path(p).as_uri() for p in paths]


def test_fcpxml_comes_back_to_the_frame(served: Served, wanted: list) -> None:
    text = listed(served, wanted, "fcpxml").text
    back = otio.adapters.read_from_string(text, "fcpx_xml")
    clips = list(back.find_children(descended_from_type=otio.schema.Clip))
    assert [c.source_range.start_time.to_frames() for c in clips] == [25, 55]
    assert [c.source_range.duration.to_frames() for c in clips] == [50, 10]
    sources = [a.get("src") for a in ElementTree.fromstring(text.encode()).iter("asset")]
    assert sources == [Path(served.library.get(w[0]).path).as_uri() for w in wanted]


def test_otio_comes_back_to_the_frame(served: Served, wanted: list) -> None:
    timeline = otio.adapters.read_from_string(listed(served, wanted, "otio").text, "otio_json")
    assert timeline.name == "Cut 一"
    expected = shots([moment_of(served.library.get(v), s, e) for v, s, e in wanted])
    for clip, shot in zip(timeline.tracks[0], expected, strict=True):
        assert clip.source_range.start_time == otio.opentime.RationalTime(shot.info.start_frame + shot.first, FPS)
        assert clip.source_range.duration.to_frames() == shot.count
        assert clip.media_reference.target_url == shot.path.as_uri()


def test_csv_and_json_hold_the_moments(served: Served, wanted: list) -> None:
    paths = [served.library.get(w[0]).path for w in wanted]
    table = listed(served, wanted, "csv").content.decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(table, newline="")))
    assert [(r["video"], float(r["start"]), float(r["end"])) for r in rows] == wanted
    assert [r["path"] for r in rows] == paths
    told = listed(served, wanted, "json").json()
    assert [(m["video"], m["start"], m["end"]) for m in told] == wanted and [m["path"] for m in told] == paths


def test_chapters_are_a_file_for_every_video(served: Served, wanted: list) -> None:
    one = ask(served, wanted[0], format="vtt")
    assert name_of(one) == "plain.vtt" and one.headers["content-type"] == "text/vtt; charset=utf-8"
    assert one.text.startswith("WEBVTT\n\nNOTE plain.mov\n\n1\n00:00:01.000 --> 00:00:03.000\n")
    both = ask(served, *wanted, format="vtt")
    assert name_of(both) == "Footage.zip" and both.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(both.content)) as archive:
        assert archive.read("plain.vtt") == one.content and len(archive.namelist()) == 2


def test_a_moment_of_a_search_is_exported_as_it_is(served: Served) -> None:
    found = served.client.get("/api/v1/search", params={"q": "black & white bars", "k": 2}).json()["moments"]
    own = {name: found[0][name] for name in ("video", "start", "end", "score")}
    clip = {"query_start": 0.0, "query_end": 1.0, "probability": 1.0, "speed": 1.0, "offset": 0.0, "mirrored": False}
    found[0]["match"] = {**own, **clip, "evidence": ["picture"]}  # as an aligned search for a clip has it
    answer = served.client.post("/api/v1/export", json={"moments": found, "format": "json"})
    assert answer.status_code == 200, answer.text
    told = [{k: v for k, v in m.items() if k != "path"} for m in answer.json()]
    assert told == [{k: v for k, v in m.items() if k not in ("also", "match")} for m in found]
    edl = served.client.post("/api/v1/export", json={"moments": found, "format": "edl"})
    assert edl.text.count("* COMMENT: black & white bars") == 2


def test_a_list_is_refused_when_a_file_is_away(own: Callable[..., Served]) -> None:
    served = own()
    video = served.library.get(served.id_of("mine.mp4"))
    Path(video.path).rename(Path(video.path).with_suffix(".away"))
    answers = {f: ask(served, (video.id, 1, 2), format=f).status_code for f in FORMATS}
    assert answers == {f: 200 if f in ("csv", "json", "vtt") else 404 for f in FORMATS}


# ------------------------------------------------------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("name", "saved"),
    [
        ("plain.mp4", "plain.mp4"),
        ('a "b" \\ c.mp4', "a _b_ _ c.mp4"),
        ("太空 🎬 #1 100%41 é.mp4", "太空 🎬 #1 100%41 é.mp4"),
        ("x\r\nset-cookie: a=b.mp4", "x__set-cookie: a=b.mp4"),
        ("../../etc/passwd", ".._.._etc_passwd"),
        ("a'b*c(d).mp4; filename=evil", "a'b*c(d).mp4; filename=evil"),
        ("\ud800.mp4", "_.mp4"),
    ],
)
def test_names_of_downloads_cannot_break_out(name: str, saved: str) -> None:
    """Two readers that are not ours agree on the name: an RFC 2231 parser, and the plain form for old programs."""
    header = attachment(name)
    assert header.isascii() and header.isprintable()
    message = EmailMessage(policy=HTTP)
    message["content-disposition"] = header.replace("filename=", "plain=", 1).replace("filename*=", "name*=", 1)
    params = message["content-disposition"].params
    assert params["name"] == saved and set(params) == {"plain", "name"}
    assert not set('"\\/%') & set(params["plain"]) and params["plain"].isascii()


def test_a_film_with_an_odd_name_is_downloaded(served: Served) -> None:
    answer = ask(served, (served.id_of(ODD), 1, 2), format="clip")
    stem = re.sub('["\n]', "_", ODD.removesuffix(".mp4"))
    assert name_of(answer) == f"{stem}_00-00-01.000_00-00-02.000.mp4"
    assert numbers(answer.content)[0] == 25


# ------------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("moment", "more", "status", "says"),
    [
        ({"video": "ffffffff"}, {}, 404, "no such video"),
        ({"video": "/etc/passwd"}, {}, 422, "video"),
        ({"start": 2.0, "end": 2.0}, {}, 400, "not a range"),
        ({"start": 3.0, "end": 2.0}, {}, 400, "not a range"),
        ({"start": 9.0, "end": 10.0}, {}, 400, "outside of the video"),
        ({"start": -1.0}, {}, 422, "start"),
        ({"end": 1e9}, {}, 422, "end"),
        ({"evidence": [{"channel": "text"}]}, {}, 422, "query"),
        ({"other": 1}, {}, 422, "other"),
        ({}, {"format": "exe"}, 422, "format"),
        ({}, {"mode": "slow"}, 422, "mode"),
        ({}, {"container": "avi"}, 422, "container"),
        ({}, {"container": "../x"}, 422, "container"),
        ({}, {"pad": 3601}, 422, "pad"),
        ({}, {"height": -1}, 422, "height"),
        ({}, {"moments": []}, 422, "moments"),
    ],
)
def test_what_is_refused(served: Served, moment: dict, more: dict, status: int, says: str) -> None:
    one = {"video": served.id_of("plain.mov"), "start": 1.0, "end": 2.0, **moment}
    body = {"moments": [one], "format": "clip", **more}
    for format in ("clip", "csv") if "format" not in more else (more["format"],):
        answer = served.client.post("/api/v1/export", json={**body, "format": format})
        assert answer.status_code == status, answer.text
        assert says in answer.text and str(served.library.path.parent) not in answer.text
    assert emptied(served)


def test_a_clip_link_is_refused_as_well(served: Served) -> None:
    video = served.id_of("plain.mov")
    for address, status in (
        ("ffffffff/clip?start=0&end=1", 404),
        (f"{video}/clip?start=1&end=1", 400),
        (f"{video}/clip?start=1", 422),
        (f"{video}/clip?start=1&end=nan", 422),
        (f"{video}/clip?start=1&end=2&mode=x", 422),
    ):
        assert served.client.get(f"/api/v1/videos/{address}").status_code == status, address


def test_more_than_may_be_is_refused(own: Callable[..., Served]) -> None:
    served = own(export_moments=3, export_seconds=5.0)
    video = served.id_of("mine.mp4")
    many = ask(served, *[(video, 0, 1)] * 4, format="csv")
    assert many.status_code == 413 and "at most 3" in many.json()["message"]
    assert ask(served, *[(video, 0, 1)] * 201, format="csv").status_code == 422
    long = ask(served, (video, 0, 3), (video, 3, 6), format="clip")
    assert long.status_code == 413 and "6 s in all, but at most 5 s" in long.json()["message"]
    assert ask(served, (video, 1, 5), format="clip", pad=1).status_code == 413
    assert ask(served, (video, 0, 3), (video, 3, 6), format="frame").status_code == 200
    assert served.client.get(f"/api/v1/videos/{video}/clip?start=0&end=6").status_code == 413
    small = own(export_bytes=9000)
    for moments, more in ((1, {}), (3, {}), (1, {"mode": "fast"}), (3, {"mode": "fast"})):
        answer = ask(small, *[(video, 0, 7)] * moments, format="clip", **more)
        assert answer.status_code == 413 and "larger than" in answer.json()["message"]
    assert emptied(served) and emptied(small)
    assert ask(served, (video, 0, 1), format="clip").status_code == 200


def test_what_fails_is_told_in_the_zip(own: Callable[..., Served], tmp_path: Path) -> None:
    served = own()
    mine, other = served.library.get(served.id_of("mine.mp4")), served.library.get(served.id_of("other.mp4"))
    with Path(other.path).open("ab") as file:
        file.write(b"more")
    answer = ask(served, (mine.id, 0, 1), (other.id, 1, 2), format="clip")
    assert answer.status_code == 200 and answer.headers["x-failed-count"] == "1"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.namelist() == ["mine_00-00-00.000_00-00-01.000.mp4", "failed.json"]
        (failed,) = json.loads(archive.read("failed.json"))
    assert (failed["video"], failed["name"], failed["start"], failed["end"]) == (other.id, "other.mp4", 1.0, 2.0)
    assert failed["error"] == "MediaChanged" and "other.mp4" in failed["message"]
    assert str(tmp_path) not in json.dumps(failed) and "private" not in json.dumps(failed)
    Path(mine.path).unlink()
    none = ask(served, (mine.id, 0, 1), (other.id, 1, 2), format="clip")
    assert none.status_code == 404 and none.json()["error"] == "MediaNotFound"
    assert ask(served, (other.id, 1, 2), format="clip").status_code == 409
    assert served.client.get(f"/api/v1/videos/{other.id}/clip?start=1&end=2").status_code == 409
    for answer in (none, ask(served, (other.id, 1, 2), format="edl")):
        assert str(tmp_path) not in answer.text and "private" not in answer.text
    assert emptied(served)


# ------------------------------------------------------------------------------------------- time, room, and leaving


def asked_by_hand(served: Served, body: dict) -> socket.socket:
    """A request whose answer is not read yet."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.settimeout(120)
    sock.connect(("127.0.0.1", served.port))
    data = json.dumps(body).encode()
    sock.sendall(
        b"POST /api/v1/export HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        b"content-length: %d\r\n\r\n%s" % (len(data), data)
    )
    return sock


@pytest.fixture(scope="module")
def heavy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film of noise: more than fits into the buffers between a server and a client that does not read."""
    root = tmp_path_factory.mktemp("heavy")
    (root / "films").mkdir()
    rng = np.random.default_rng(1)
    noise = [rng.integers(0, 256, (360, 640, 3), dtype=np.uint8) for _ in range(60)]
    render(root / "films" / "noise.mp4", noise, fps=10, options={"qp": "1", "preset": "ultrafast", "g": "10"})
    assert (root / "films" / "noise.mp4").stat().st_size > 15 << 20
    open_library(root / "library").index(root / "films")
    return root


def test_a_client_that_leaves_leaves_nothing_behind(heavy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cuts: list[Path] = []
    monkeypatch.setattr(cut, "cut_clip", lambda *a, real=cut.cut_clip, **k: (cuts.append(a[1]), real(*a, **k))[1])
    with serving(open_library(heavy / "library")) as served:
        video = served.id_of("noise.mp4")
        clips = [{"video": video, "start": 0.02 * n, "end": 0.02 * n + 1} for n in range(200)]
        working = asked_by_hand(served, {"moments": clips, "format": "clip"})
        until = time.monotonic() + 120
        while not cuts and time.monotonic() < until:
            time.sleep(0.01)
        assert cuts, "it has not begun"
        working.close()
        assert emptied(served)
        assert len(cuts) < 200, "it was made to the end for nobody"
        reading = asked_by_hand(served, {"moments": [clips[0] | {"end": 6}], "format": "clip", "mode": "fast"})
        assert b"200 OK" in reading.recv(500)
        assert left(served)
        reading.close()
        assert emptied(served)


def test_a_client_that_stops_reading_is_given_up(heavy: Path) -> None:
    library = open_library(heavy / "library")
    video = next(iter(library.videos())).id
    moment = {"video": video, "start": 0, "end": 6}
    # What takes so little room that nobody has to read it at once: it cannot be given up on a machine that halts.
    url = f"/api/v1/videos/{video}/clip?start=0&end=0.3&height=16"

    def asked(served: Served) -> socket.socket:
        return asked_by_hand(served, {"moments": [moment], "format": "clip", "mode": "fast"})

    with serving(library, ServeOptions(limits=Limits(exports=1))) as served, closing(asked(served)) as sock:
        assert b"200 OK" in sock.recv(500)
        busy = served.client.get(url)
        assert busy.status_code == 429 and busy.headers["retry-after"]
        assert served.client.post("/api/v1/export", json={"moments": [moment], "format": "csv"}).status_code == 200
    options = ServeOptions(limits=Limits(exports=1, download_seconds=1.5))
    with serving(open_library(heavy / "library"), options) as served, closing(asked(served)) as sock:
        assert b"200 OK" in sock.recv(500)
        assert emptied(served)
        assert with_a_place(lambda: served.client.get(url)).status_code == 200


def test_an_export_that_takes_too_long_is_given_up_and_removed(heavy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go = threading.Event()  # too long on any machine
    monkeypatch.setattr(cut, "cut_clip", lambda *a, real=cut.cut_clip, **k: go.wait(120) and real(*a, **k))
    with serving(
        open_library(heavy / "library"), ServeOptions(limits=Limits(export_work_seconds=0.2, exports=1))
    ) as served:
        moment = (served.id_of("noise.mp4"), 0.0, 6.0)
        answer = ask(served, moment, format="clip")
        assert answer.status_code == 503, answer.text
        assert answer.json()["error"] == "TookTooLong" and answer.headers["retry-after"]
        assert "fast" in answer.json()["hint"]
        go.set()
        assert emptied(served)
        # and not 429 for ever: its place was given back
        assert with_a_place(lambda: ask(served, moment, format="clip")).status_code in (200, 503)


def test_what_a_killed_server_left_is_removed_later(heavy: Path) -> None:
    folder = heavy / "library" / "cache" / "exports"
    for name in ("old", "young"):
        (folder / name).mkdir(parents=True)
        (folder / name / "x.mp4").write_bytes(b"x")
    os.utime(folder / "old", (1e9, 1e9))
    with serving(open_library(heavy / "library")) as served:
        until = time.monotonic() + 120  # it is done on the side
        while served.client.get("/readyz").status_code != 200 and time.monotonic() < until:
            time.sleep(0.05)
        assert [p.name for p in folder.iterdir()] == ["young"]
    shutil.rmtree(folder / "young")


_SMALL_DISK = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from clips import library
from footage.api import ServeOptions
from footage.api.server import listen
listen(library(Path({library!r})), ServeOptions(port=0), on_open=lambda url: print(url, flush=True))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs a namespace of its own")
@pytest.mark.parametrize(("count", "size"), [(1, "1m"), (3, "4m")])
def test_a_full_disk_is_told_and_nothing_is_left(heavy: Path, count: int, size: str) -> None:
    """On a small disk, which only the server sees: too small for a clip, or for a clip and the ZIP."""
    cache = heavy / "library" / "cache"
    cache.mkdir(exist_ok=True)
    code = _SMALL_DISK.format(tests=str(Path(__file__).parent), library=str(heavy / "library"))
    mount = f'mount -t tmpfs -o size={size} none "{cache}" && exec "$@"'
    if subprocess.run(["unshare", "-Urm", "sh", "-c", mount, "-", "true"], capture_output=True, check=False).returncode:
        pytest.skip("may not mount")
    command = ["unshare", "-Urm", "sh", "-c", mount, "-", sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            url = server.stdout.readline().strip()
            with httpx.Client(base_url=url, timeout=200, trust_env=False) as client:
                video = client.get("/api/v1/videos").json()["videos"][0]["id"]
                for mode in ("exact", "fast"):
                    moments = [{"video": video, "start": n, "end": n + 1} for n in range(count)]
                    body = {"moments": moments, "format": "clip", "mode": mode}
                    answer = client.post("/api/v1/export", json=body)
                    assert answer.status_code == 503, answer.text
                    assert answer.json()["error"] == "NoRoom" and answer.json()["retry"]
                    assert str(heavy) not in answer.text
                inside = Path(f"/proc/{server.pid}/root") / str(cache / "exports").lstrip("/")
                until = time.monotonic() + 120  # it may be told before all is removed
                while any(inside.iterdir()) and time.monotonic() < until:
                    time.sleep(0.05)
                assert list(inside.iterdir()) == []
                small = {"moments": [{"video": video, "start": 0, "end": 0.1}], "format": "clip", "height": 16}
                assert client.post("/api/v1/export", json=small).status_code == 200
        finally:
            server.terminate()
            server.wait(120)


def test_a_name_that_says_less_is_a_relative_reference(served: Served) -> None:
    """What a list calls its files is told by who asks for it."""
    from footage.export import render as rendered

    moment = moment_of(served.library.get(served.id_of(ODD)), 1, 2)
    seen: list[str] = []

    def shown(path: str) -> str:
        seen.append(path)
        return "films/ä #1 100%:\n.mp4"

    asset = next(ElementTree.fromstring(rendered([moment], "fcpxml", shown=shown)).iter("asset"))
    assert asset.get("src") == "films/%C3%A4%20%231%20100%25%3A%0A.mp4"
    assert unquote(asset.get("src") or "") == "films/ä #1 100%:\n.mp4"
    assert "* FROM FILE: films/%C3%A4" in rendered([moment], "edl", shown=shown).decode()
    assert json.loads(rendered([moment], "json", shown=shown))[0]["path"] == "films/ä #1 100%:\n.mp4"
    assert set(seen) == {moment.video.path}
