"""Each line of docs/security.md, tried from outside against a real server."""

from __future__ import annotations

import io
import os
import re
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from clips import clip
from clips import library as open_library
from media_samples import numbered, render
from PIL import Image
from serving import Served, films, serving

from footage.api import Limits, ServeOptions, create_app
from footage.api.faults import scrub
from footage.api.options import read_users
from footage.api.security import COOKIE, Keys, Sessions, Tries, hasher
from footage.api.uploads import QueryFiles, safe_name
from footage.errors import ConfigError

TOKEN = "correct-horse-battery"
BEARER = {"authorization": f"Bearer {TOKEN}"}
DOCS = Path(__file__).parents[1] / "docs" / "security.md"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("guarded")
    films(root / "films", ("plain.mp4",))
    open_library(root / "library").index(root / "films")
    return root


@pytest.fixture(scope="module")
def served(place: Path) -> Iterator[Served]:
    limits = Limits(
        clip_bytes=3 << 20,
        picture_bytes=2 << 20,
        video_bytes=4 << 20,
        uploads_bytes=4 << 20,
        files=3,
        query_files=6,
    )
    options = ServeOptions(allow_dirs=(place / "films",), limits=limits)
    with serving(open_library(place / "library"), options) as found:
        yield found


@pytest.fixture(scope="module")
def locked(place: Path) -> Iterator[Served]:
    users = {"ada": hasher().hash("lovelace")}
    with serving(open_library(place / "library"), ServeOptions(token=TOKEN, users=users)) as found:
        yield found


# --------------------------------------------------------------------------------------------------- getting started


def test_other_addresses_need_a_login(tmp_path: Path) -> None:
    for host in ("0.0.0.0", "::", "192.168.1.5", "example.org", ""):
        with pytest.raises(ConfigError, match="password is needed"):
            create_app(open_library(tmp_path), ServeOptions(host=host))
        ServeOptions(host=host, token=TOKEN).check()
    for host in ("127.0.0.1", "::1", "localhost", "127.8.8.8"):
        ServeOptions(host=host).check()
    with pytest.raises(ConfigError, match="characters"):
        ServeOptions(host="0.0.0.0", token="short").check()


def test_the_command_refuses_to_open_itself_to_others(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "footage.cli", "serve", "--library", str(tmp_path / "l"), "--host", "0.0.0.0"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 2 and "--token" in ended.stderr


def test_by_default_only_this_machine_can_connect(served: Served) -> None:
    assert ServeOptions().host == "127.0.0.1"
    mine = psutil.Process().net_connections(kind="tcp")
    assert {c.laddr.ip for c in mine if c.status == "LISTEN" and c.laddr.port == served.port} == {"127.0.0.1"}


def test_a_users_file_holds_hashes_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "users"
    file.write_text(f"# who\n\nada:{hasher().hash('x')}\n")
    assert list(read_users(file)) == ["ada"]
    for bad in ("ada:plain", "ada", ":$argon2id$x", ""):
        file.write_text(bad)
        with pytest.raises(ConfigError):
            read_users(file)
    with pytest.raises(ConfigError):
        read_users(tmp_path / "none")


# ------------------------------------------------------------------------------------------------------ logging in


@pytest.mark.parametrize("path", ["/api/v1/videos", "/metrics", "/mcp", "/api/v1/openapi.json", "/logout", "/nothing"])
def test_nothing_is_told_without_a_login(locked: Served, path: str) -> None:
    answer = locked.client.get(path)
    assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
    for wrong in ("Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x", TOKEN, "Bearer \u00e9"):
        answer = locked.client.get(path, headers={"authorization": wrong.encode("latin-1")})
        assert answer.status_code == 401, wrong
    assert locked.client.get(path, headers=BEARER).status_code != 401


def test_signs_of_life_are_open(locked: Served) -> None:
    assert locked.client.get("/healthz").status_code == 200
    assert locked.client.get("/readyz").status_code == 200


def test_a_page_is_sent_to_the_login_and_back(locked: Served) -> None:
    sent = locked.client.get("/?q=a%20cat", headers={"accept": "text/html"})
    assert sent.status_code == 303 and sent.headers["location"] == "/login?next=%2F%3Fq%3Da%2520cat"
    form = locked.client.get(sent.headers["location"])
    assert 'value="/?q=a%20cat"' in form.text and "default-src 'none'" in form.headers["content-security-policy"]


@pytest.mark.parametrize("fields", [{"secret": TOKEN}, {"name": "ada", "secret": "lovelace"}])
def test_the_login_gives_a_cookie_that_scripts_and_other_sites_cannot_use(locked: Served, fields: dict) -> None:
    answer = locked.client.post("/login", data={**fields, "next": "/?q=1"})
    assert answer.status_code == 303 and answer.headers["location"] == "/?q=1"
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "samesite=strict" in cookie.lower() and "Secure" not in cookie
    value = re.match(f"{COOKIE}=([^;]+)", cookie)
    assert value is not None
    with httpx.Client(base_url=locked.url, cookies={COOKIE: value[1]}, trust_env=False) as client:
        assert client.get("/api/v1/videos").status_code == 200
        assert client.post("/logout").status_code == 303
        client.cookies.set(COOKIE, value[1])
        assert client.get("/api/v1/videos").status_code == 401
    locked.client.cookies.clear()


def test_over_https_the_cookie_is_secure(place: Path) -> None:
    from starlette.testclient import TestClient

    app = create_app(open_library(place / "library"), ServeOptions(token=TOKEN))
    with TestClient(app, base_url="https://localhost", follow_redirects=False) as client:
        assert "Secure" in client.post("/login", data={"secret": TOKEN}).headers["set-cookie"]


@pytest.mark.parametrize(
    "target", ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:x", "/\r\nx: y"]
)
def test_the_login_leads_nowhere_else(locked: Served, target: str) -> None:
    answer = locked.client.post("/login", data={"secret": TOKEN, "next": target})
    assert answer.headers["location"] == "/"
    assert "evil" not in locked.client.get("/login", params={"next": target}).text
    locked.client.cookies.clear()


def test_guessing_is_slowed_down(place: Path) -> None:
    with serving(open_library(place / "library"), ServeOptions(token=TOKEN)) as found:
        statuses = [found.client.post("/login", data={"secret": f"guess{n}"}).status_code for n in range(12)]
        assert statuses == [401] * 10 + [429] * 2
        assert found.client.post("/login", data={"secret": TOKEN}).status_code == 429
        assert found.client.get("/api/v1/videos", headers=BEARER).status_code == 200


def test_failed_tries_are_forgotten_in_time() -> None:
    now = [0.0]
    tries = Tries(lambda: now[0])
    for _ in range(10):
        tries.failed("a")
    with pytest.raises(Exception, match="too many"):
        tries.check("a")
    tries.check("b")
    now[0] = 61
    tries.check("a")


def test_secrets_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    import hmac

    compared: list[tuple[int, int]] = []
    real = hmac.compare_digest
    monkeypatch.setattr(
        "footage.api.security.hmac.compare_digest", lambda a, b: (compared.append((len(a), len(b))), real(a, b))[1]
    )
    keys = Keys(TOKEN, {})
    assert keys.token(TOKEN) and not keys.token("x") and not keys.token(TOKEN + "x" * 5000)
    assert set(compared) == {(32, 32)}


def test_an_unknown_name_takes_as_long_as_a_wrong_password() -> None:
    keys = Keys(None, {"ada": hasher().hash("lovelace")})
    assert keys.password("ada", "lovelace")

    def seconds(name: str) -> float:
        started = time.perf_counter()
        assert not keys.password(name, "wrong")
        return time.perf_counter() - started

    # In turns, and the quickest of many: a machine that is busy with other things slows some of them down.
    took = [(seconds("ada"), seconds("bob")) for _ in range(8)]
    known, unknown = (min(each) for each in zip(*took, strict=True))
    assert unknown > known / 3


def test_sessions_end() -> None:
    now = [0.0]
    sessions = Sessions(2, 10, lambda: now[0])
    one = sessions.new()
    assert sessions.known(one) and not sessions.known("x" * 43)
    now[0] = 11
    assert not sessions.known(one)
    first, second, third = sessions.new(), sessions.new(), sessions.new()
    assert [sessions.known(s) for s in (first, second, third)] == [False, True, True]
    sessions.end(third)
    assert not sessions.known(third)


# ------------------------------------------------------------------------------------------------------ other sites


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil", "", "10.0.0.1"]
)
def test_a_name_that_was_made_to_point_here_is_refused(served: Served, host: str) -> None:
    answer = served.client.get("/api/v1/videos", headers={"host": host})
    assert answer.status_code in (400, 403)
    for mine in (f"localhost:{served.port}", f"127.0.0.1:{served.port}", "[::1]:1"):
        assert served.client.get("/api/v1/videos", headers={"host": mine}).status_code == 200


def test_names_of_the_server_can_be_given(place: Path) -> None:
    options = ServeOptions(hosts=("films.example",))
    with serving(open_library(place / "library"), options) as found:
        assert found.client.get("/healthz", headers={"host": "films.example"}).status_code == 200
        assert found.client.get("/healthz", headers={"host": "evil.example"}).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"origin": "file://"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"},
    ],
)
def test_pages_of_other_sites_are_refused(served: Served, headers: dict[str, str]) -> None:
    for method, path in (("GET", "/api/v1/videos"), ("POST", "/api/v1/search"), ("GET", "/"), ("OPTIONS", "/mcp")):
        answer = served.client.request(method, path, headers=headers)
        assert answer.status_code == 403 and "access-control-allow-origin" not in answer.headers
    own = {"origin": served.url, "sec-fetch-site": "same-origin"}
    assert served.client.get("/api/v1/videos", headers=own).status_code == 200


def test_a_link_from_another_site_opens_the_page_but_nothing_of_the_api(served: Served) -> None:
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    assert served.client.get("/", headers=link).status_code != 403
    assert served.client.get("/api/v1/videos", headers=link).status_code == 403
    assert served.client.post("/", headers=link).status_code == 403


def test_answers_cannot_be_framed_sniffed_or_kept(served: Served) -> None:
    answer = served.client.get("/api/v1/videos")
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert answer.headers["referrer-policy"] == "same-origin"
    assert answer.headers["cache-control"] == "no-store"


# ----------------------------------------------------------------------------------------------------------- files


def test_only_allowed_folders_are_indexed(served: Served, place: Path) -> None:
    outside = place / "outside"
    outside.mkdir(exist_ok=True)
    clip(outside / "secret.mp4", 7)
    inside = place / "films"
    if not (inside / "way-out").is_symlink():
        (inside / "way-out").symlink_to(outside)
    for asked in (
        str(outside), "/", "/etc", "..", "films/..", "films/../outside", f"{inside}/../outside", "films/way-out",
        "films/way-out/secret.mp4", f"{inside}/way-out", "~", "films\0", "", "nothing", "films/nothing", "C:\\",
    ):  # fmt: skip
        answer = served.client.post("/api/v1/index", json={"folders": [asked]})
        assert answer.status_code in (403, 422), asked
        assert str(place) not in answer.text
    assert served.client.get("/api/v1/folders", params={"inside": "films/way-out"}).status_code == 403
    assert served.client.get("/api/v1/folders", params={"inside": str(outside)}).status_code == 403
    assert served.client.get("/api/v1/folders", params={"inside": "films"}).json()["folders"] == []
    (inside / "way-out").unlink()
    job = served.client.post("/api/v1/index", json={"folders": ["films", str(inside)]})
    assert job.status_code == 202 and served.wait(job.json()["id"])["state"] == "done"


def test_without_allowed_folders_nothing_is_indexed(locked: Served, place: Path) -> None:
    answer = locked.client.post("/api/v1/index", json={"folders": [str(place / "films")]}, headers=BEARER)
    assert answer.status_code == 403


def test_whole_paths_are_for_the_user_of_this_machine_alone(served: Served, locked: Served, place: Path) -> None:
    assert served.client.get("/api/v1/videos").json()["videos"][0]["path"] == str(place / "films" / "plain.mp4")
    remote = locked.client.get("/api/v1/videos", headers=BEARER)
    assert remote.json()["videos"][0]["path"] == "films/plain.mp4" and str(place) not in remote.text


def test_exported_lists_name_no_path_of_the_server(served: Served, locked: Served, place: Path) -> None:
    video = served.id_of("plain.mp4")
    told: dict[str, str] = {}
    for format in ("csv", "json", "vtt", "edl", "fcpxml", "otio"):
        body = {"moments": [{"video": video, "start": 1, "end": 2}], "format": format}
        told[format] = locked.client.post("/api/v1/export", json=body, headers=BEARER).text
        mine = served.client.post("/api/v1/export", json=body).text
        assert (str(place / "films" / "plain.mp4") in mine) == (format != "vtt"), format
        assert str(place) not in told[format] and "file:" not in told[format] and "plain.mp4" in told[format]
    assert "films/plain.mp4" in told["csv"] and "* FROM FILE: films/plain.mp4\n" in told["edl"]
    assert 'src="films/plain.mp4"' in told["fcpxml"]
    clip = locked.client.get(f"/api/v1/videos/{video}/clip?start=1&end=2", headers=BEARER)
    assert clip.status_code == 200 and str(place).encode() not in clip.content
    fast = locked.client.get(f"/api/v1/videos/{video}/clip?start=1&end=2&mode=fast", headers=BEARER)
    assert fast.status_code == 200 and str(place).encode() not in fast.content
    for start, end in ((5, 4), (50, 60)):
        refused = locked.client.get(f"/api/v1/videos/{video}/clip?start={start}&end={end}", headers=BEARER)
        assert refused.status_code == 400 and str(place) not in refused.text


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("../../etc/passwd", "passwd"),
        ("..\\..\\x.mp4", "x.mp4"),
        ("a/../b.mp4", "b.mp4"),
        (".hidden.mp4", "hidden.mp4"),
        ("", "file"),
        ("...", "file"),
        ("a\0b\n\x7f\u202e.mp4", "a_b___.mp4"),
        ('a<>:"|?*.mp4', "a_______.mp4"),
        ("CON.mp4", "_CON.mp4"),
        ("太空🎬 #1 100%+'.mp4", "太空🎬 #1 100%+'.mp4"),
    ],
)
def test_names_of_uploads_are_made_safe(name: str, safe: str) -> None:
    assert safe_name(name) == safe


def test_long_names_are_cut_but_keep_their_suffix() -> None:
    name = safe_name("太" * 500 + ".mp4")
    assert name.endswith(".mp4") and len(name.encode()) <= 200


# --------------------------------------------------------------------------------------------------------- uploads


def png_bomb() -> bytes:
    """100 megapixels in some 30 KB."""
    out = io.BytesIO()
    Image.new("1", (10_000, 10_000)).save(out, "PNG", optimize=True)
    return out.getvalue()


def send(served: Served, path: str, name: str, data: bytes) -> httpx.Response:
    return served.client.post(f"/api/v1/{path}", files={"file": (name, data)})


@pytest.mark.parametrize("path", ["query-files", "search/files"])
def test_a_picture_of_a_hundred_megapixels_is_not_decoded(served: Served, path: str) -> None:
    bomb = png_bomb()
    assert len(bomb) < 100_000
    before = psutil.Process().memory_info().rss
    answer = send(served, path, "bomb.png", bomb)
    assert answer.status_code == 413 and "10000 x 10000" in answer.json()["message"]
    assert psutil.Process().memory_info().rss - before < 60 << 20


@pytest.mark.parametrize("path", ["query-files", "search/files"])
def test_a_clip_of_an_hour_is_refused(served: Served, tmp_path: Path, path: str) -> None:
    long = render(tmp_path / "hour.mkv", [numbered(0, 32, 32)] * 3601, fps=1, options={"preset": "ultrafast"})
    answer = send(served, path, "hour.mkv", long.read_bytes())
    assert answer.status_code == 413 and "3601 s" in answer.json()["message"]


def test_a_clip_that_lies_about_its_length_is_refused(served: Served, tmp_path: Path) -> None:
    """A bare stream tells no length, so only its packets do."""
    long = render(tmp_path / "long.h264", [numbered(0, 32, 32)] * 20_000, fps=25, format="h264",
                  options={"preset": "ultrafast"})  # fmt: skip
    assert send(served, "query-files", "long.h264", long.read_bytes()).status_code == 413


@pytest.mark.parametrize("path", ["query-files", "search/files", "uploads"])
def test_a_zip_under_the_name_of_a_video_is_refused(served: Served, path: str) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a.txt", "x" * 5000)
    answer = send(served, path, "holiday.mp4", out.getvalue())
    assert answer.status_code == 422 and "holiday.mp4" in answer.json()["message"], answer.text
    assert "footage-" not in answer.text and ".part" not in answer.text and ".incoming" not in answer.text


@pytest.mark.parametrize("data", [b"", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"\xff\xd8\xff\xe0" + b"\0" * 99, b"\0" * 5000])
def test_broken_files_are_refused_with_a_reason(served: Served, data: bytes) -> None:
    for path, name in (("query-files", "x.png"), ("uploads", "x.mp4"), ("search/files", "x.jpg")):
        answer = send(served, path, name, data)
        assert answer.status_code == 422 and answer.json()["message"], path
        assert "/tmp" not in answer.text and ".part" not in answer.text


def test_too_large_too_many_and_nothing_is_left(served: Served, place: Path) -> None:
    too_large = send(served, "query-files", "big.png", os.urandom(4 << 20))
    assert too_large.status_code == 413
    assert send(served, "uploads", "big.mp4", os.urandom(5 << 20)).status_code == 413
    small = io.BytesIO()
    Image.new("RGB", (16, 16)).save(small, "PNG")
    many = [("file", (f"{n}.png", small.getvalue())) for n in range(4)]
    assert served.client.post("/api/v1/query-files", files=many).status_code == 413
    kept = []
    for _ in range(8):
        answer = send(served, "query-files", "s.png", small.getvalue())
        if answer.status_code == 201:
            kept.append(answer.json()["files"][0]["id"])
    assert answer.status_code == 429 and answer.headers["retry-after"] and len(kept) <= 6
    for each in kept:
        served.client.delete(f"/api/v1/query-files/{each}")
    assert not list((place / "library").glob(".incoming-*"))
    assert not list((place / "library" / "uploads").glob("*")) if (place / "library" / "uploads").exists() else True


def test_there_is_a_limit_to_all_uploads(place: Path, tmp_path: Path) -> None:
    data = (place / "films" / "plain.mp4").read_bytes()
    limits = Limits(uploads_bytes=len(data) + 10)
    with serving(open_library(tmp_path / "library"), ServeOptions(limits=limits)) as found:
        first = send(found, "uploads", "a.mp4", data)
        assert first.status_code == 202
        found.wait(first.json()["job"]["id"])
        assert send(found, "uploads", "b.mp4", data).status_code == 413


def test_query_files_are_removed_when_their_time_is_over(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    later = [0.0]
    made = QueryFiles.__init__
    monkeypatch.setattr(QueryFiles, "__init__", lambda self, limits: made(self, limits, lambda: time.time() + later[0]))
    with serving(open_library(place / "library"), ServeOptions(limits=Limits(query_file_seconds=600.0))) as found:
        small = io.BytesIO()
        Image.new("RGB", (16, 16)).save(small, "PNG")
        sent = send(found, "query-files", "s.png", small.getvalue()).json()["files"][0]["id"]
        assert found.client.get(f"/api/v1/query-files/{sent}").status_code == 200
        later[0] = 601.0
        assert found.client.get(f"/api/v1/query-files/{sent}").status_code == 404


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=b", b""),
        ("multipart/form-data; boundary=b", b"nonsense"),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nabc',
        ),
        ("multipart/form-data; boundary=b", b"--b\r\nContent-Disposition: x\r\n\r\na\r\n--b--\r\n"),
        ("multipart/form-data; boundary=b", b"--b\r\n" + b"X" * 20_000 + b": 1\r\n\r\na\r\n--b--\r\n"),
        ("application/json", b"{}"),
    ],
)
def test_damaged_forms_are_refused(served: Served, kind: str, body: bytes) -> None:
    for path in ("query-files", "uploads", "search/files"):
        answer = served.client.post(f"/api/v1/{path}", content=body, headers={"content-type": kind})
        assert answer.status_code in (413, 422), answer.text


# ----------------------------------------------------------------------------------------------------- large and slow


def test_a_large_body_is_refused_whether_it_says_so_or_not(served: Served) -> None:
    big = b'{"parts": [{"kind": "text", "value": "' + b"a" * (2 << 20) + b'"}]}'
    told = served.client.post("/api/v1/search", content=big, headers={"content-type": "application/json"})
    assert told.status_code == 413

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(big), 65536):
            yield big[start : start + 65536]

    try:
        untold = served.client.post("/api/v1/search", content=pieces(), headers={"content-type": "application/json"})
    except (httpx.NetworkError, httpx.RemoteProtocolError):  # the server hung up while more was coming
        return
    assert untold.status_code == 413 and untold.json()["error"] == "TooLarge"


def test_a_body_that_stops_coming_is_given_up(place: Path) -> None:
    options = ServeOptions(limits=Limits(idle_seconds=0.7))
    with (
        serving(open_library(place / "library"), options) as found,
        socket.create_connection(("127.0.0.1", found.port)) as sock,
    ):
        sock.sendall(
            b"POST /api/v1/search HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
            b'content-length: 100\r\n\r\n{"parts"'
        )
        sock.settimeout(120)
        assert b"408" in sock.recv(100)


def test_work_that_takes_too_long_is_given_up(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(open_library(place / "library"), ServeOptions(limits=Limits(work_seconds=0.3))) as found:
        go = threading.Event()
        monkeypatch.setattr(found.library, "search_many", lambda *_: go.wait(120) and [[]])
        answer = found.client.get("/api/v1/search", params={"q": "slow"})
        go.set()
        assert answer.status_code == 503 and answer.json()["retry"] and answer.headers["retry-after"]


def test_a_login_does_not_read_a_large_form(locked: Served) -> None:
    answer = locked.client.post("/login", content=b"secret=" + b"a" * (2 << 20))
    assert answer.status_code == 413


# ------------------------------------------------------------------------------------------------------------- errors


def test_an_unexpected_error_tells_nothing(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(open_library(place / "library")) as found:

        def broken(*_: object) -> None:
            raise RuntimeError(f"secret in {place}")

        monkeypatch.setattr(found.library, "search_many", broken)
        answer = found.client.get("/api/v1/search", params={"q": "x"})
        assert answer.status_code == 500 and answer.json()["error"] == "InternalError"
        assert "secret" not in answer.text and "Traceback" not in answer.text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("no library at /home/ada/films/.footage", "no library at .footage"),
        ("cannot decode: /srv/a b/c d.mp4: bad", "cannot decode: c d.mp4: bad"),
        ("not a video (text): C:\\films\\x.mp4", "not a video (text): x.mp4"),
        ("a range of 3/4", "a range of 3/4"),
        ("see /api/v1/openapi.json", "see /api/v1/openapi.json"),
        ("1 and/or 2", "1 and/or 2"),
    ],
)
def test_paths_are_taken_out_of_errors(text: str, shown: str) -> None:
    known = ("/srv/a b/c d.mp4",) if "srv" in text else ()
    assert scrub(text, *known) == shown


def test_no_error_names_a_path_of_the_server(served: Served, place: Path) -> None:
    clip(place / "films" / "gone.mp4", 3, 4)
    served.library.index(place / "films")
    gone = served.id_of("gone.mp4")
    (place / "films" / "gone.mp4").unlink()
    (place / "films" / "bad.mp4").write_bytes(b"bad")
    job = served.client.post("/api/v1/index", json={"folders": ["films"]}).json()["id"]
    told = [str([f["error"] for f in served.wait(job)["files"]])]
    (place / "films" / "bad.mp4").unlink()
    for path in ("stream", "frame?at=0&full=1", "rendition?start=0&end=1", "playback", "clip?start=0&end=1"):
        answer = served.client.get(f"/api/v1/videos/{gone}/{path}")
        assert answer.status_code == 404, path
        told.append(answer.text)
    for format in ("clip", "frame", "edl", "fcpxml", "otio"):
        body = {"moments": [{"video": gone, "start": 0, "end": 1}], "format": format}
        answer = served.client.post("/api/v1/export", json=body)
        assert answer.status_code == 404, format
        told.append(answer.text)
    part = {"kind": "image", "moment": {"video": gone, "at": 1}}
    told.append(served.client.post("/api/v1/search", json={"parts": [part]}).text)
    told.append(send(served, "search/files", "x.png", b"nothing").text)
    told.append(str([f["message"] for f in served.client.get("/api/v1/doctor").json()["findings"]]))
    assert all(str(place) not in text and "/tmp" not in text for text in told), told


# -------------------------------------------------------------------------------------------------------- the document


def test_every_threat_has_its_test() -> None:
    named = set(re.findall(r"`(test_\w+)`", DOCS.read_text(encoding="utf-8")))
    here = {n for file in Path(__file__).parent.glob("test_*.py") for n in re.findall(r"^def (test_\w+)", file.read_text("utf-8"), re.M)}  # fmt: skip  # noqa: E501
    mine = set(re.findall(r"^def (test_\w+)", Path(__file__).read_text("utf-8"), re.M))
    assert named <= here, named - here
    assert mine - {"test_every_threat_has_its_test"} <= named, mine - named
