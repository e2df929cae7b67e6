"""A bucket as its user meets it: the command in its own process, and a server that is asked for other addresses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from clips import clip, identity, library
from object_store import Store, gate
from serving import serving

from footage.api import ServeOptions
from footage.errors import ConfigError

SECRET = "a-very-secret-key"


def command(*words: str, cwd: Path) -> subprocess.Popen[str]:
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "FOOTAGE_MODEL": "starter"}
    call = [sys.executable, "-m", "footage", *words]
    return subprocess.Popen(call, cwd=cwd, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def footage(*words: str, cwd: Path) -> tuple[int, str, str]:
    process = command(*words, cwd=cwd)
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def test_a_bucket_from_the_command_line(s3: Store, tmp_path: Path) -> None:
    film = clip(tmp_path / "film.mp4", 0, 1, 2)
    url = s3.put("films/film.mp4", film)
    status, out, err = footage("index", s3.url("films"), "--json", cwd=tmp_path)
    assert status == 0, err
    assert json.loads(out)["path"] == url and json.loads(out)["video"] == identity(film)
    status, out, err = footage("search", "colours", "--json", cwd=tmp_path)
    assert status == 0 and json.loads(out.splitlines()[0])["path"] == url, err
    (tmp_path / "found.jsonl").write_text(out)
    status, out, err = footage("export", "--from", "found.jsonl", "--to", "list.csv", cwd=tmp_path)
    assert status == 0 and url in (tmp_path / "list.csv").read_text(), err
    status, out, err = footage("ls", cwd=tmp_path)
    assert status == 0 and url in out
    status, out, err = footage("doctor", cwd=tmp_path)
    assert status == 0, out + err
    status, out, err = footage("rm", url, cwd=tmp_path)
    assert status == 0 and "removed" in out
    s3.gate.deny = lambda _: True
    status, out, err = footage("index", s3.url("films"), cwd=tmp_path)
    assert status == 1 and "not allowed to read" in out and "AWS_" in out and "Traceback" not in err
    s3.gate.deny = lambda _: False
    status, out, err = footage("index", "s3://no-such-bucket-here/films", cwd=tmp_path)
    assert status == 3 and "no such bucket" in out, "the service is to blame, and not a file"
    status, out, err = footage("index", f"s3://KEY:{SECRET}@films/x", cwd=tmp_path)
    assert status == 2 and "login" in err and SECRET not in out + err
    for file in (tmp_path / ".footage").rglob("*"):
        assert not file.is_file() or SECRET.encode() not in file.read_bytes(), file


def test_killed_in_the_middle_and_run_again(s3: Store, tmp_path: Path) -> None:
    films = [clip(tmp_path / f"{n}.mp4", n, n + 1, n + 2) for n in range(5)]
    for film in films:
        s3.put(f"films/{film.name}", film)
    s3.gate.delay = 0.15
    process = command("index", s3.url("films"), "--json", cwd=tmp_path)
    assert process.stdout is not None
    first = json.loads(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    process.communicate()
    s3.gate.delay = 0
    assert first["status"] == "indexed"
    status, out, err = footage("index", s3.url("films"), "--json", cwd=tmp_path)
    assert status == 0, err
    rows = {row["path"]: row for row in map(json.loads, out.splitlines())}
    assert len(rows) == 5 and rows[first["path"]]["status"] == "unchanged"
    assert {row["video"] for row in rows.values()} == {identity(film) for film in films}
    status, out, err = footage("doctor", cwd=tmp_path)
    assert status == 0, out + err


def test_a_server_asks_only_the_addresses_that_it_was_given(s3: Store, tmp_path: Path) -> None:
    """Server-side request forgery: whatever a client writes, no request leaves for elsewhere."""
    s3.put("films/in/a.mp4", clip(tmp_path / "a.mp4", 0, 1))
    s3.put("secret/b.mp4", clip(tmp_path / "b.mp4", 2))
    with gate(("127.0.0.1", 9)) as canary, library(tmp_path / "library") as lib:
        options = ServeOptions(allow_urls=(s3.url("films"),), token="a-token-of-more-than-16")
        with serving(lib, options) as served:
            client = served.client
            client.headers["authorization"] = "Bearer a-token-of-more-than-16"
            inner = canary.url.removeprefix("http://")
            s3.gate.clear()
            for bad in (
                f"{canary.url}/x.mp4", f"http://{inner}", "http://169.254.169.254/latest/meta-data", s3.url("secret"),
                s3.url("films") + "2", s3.url("films/../secret"), s3.url("films/%2e%2e/secret"), s3.url(), "s3://",
                f"s3://{s3.bucket}@{inner}/films/x", f"simplecache::{s3.url('films')}", "file:///etc/passwd",
                s3.url("films") + "\\..\\secret", "films/../secret", "films/../../x",
            ):  # fmt: skip
                answer = client.post("/api/v1/index", json={"folders": [bad]})
                assert answer.status_code in (403, 422), (bad, answer.text)
                assert client.get("/api/v1/folders", params={"inside": bad}).status_code in (403, 422), bad
                for part in ({"kind": "text", "value": bad}, {"kind": "video", "value": bad}):
                    client.post("/api/v1/search", json={"parts": [part]})
                client.get("/api/v1/videos", params={"folder": bad})
                client.get(f"/api/v1/videos/{bad.replace('/', '%2f')}/stream")
            assert not canary.requests and not s3.gate.requests
            listed = client.get("/api/v1/folders").json()["folders"]
            assert [f["name"] for f in listed] == ["films"] and SECRET not in str(listed)
            assert [f["name"] for f in client.get("/api/v1/folders", params={"inside": "films"}).json()["folders"]] == [
                "in"
            ]
            job = client.post("/api/v1/index", json={"folders": ["films"]}).json()["id"]
            assert served.wait(job, seconds=200)["counts"] == {"indexed": 1}
            (video,) = client.get("/api/v1/videos").json()["videos"]
            assert video["path"] == "films/in/a.mp4", "of the bucket no more is told than is allowed"
            way = client.get(f"/api/v1/videos/{video['id']}/playback").json()
            assert way["mode"] == "direct"
            data = (tmp_path / "a.mp4").read_bytes()
            part = client.get(way["url"], headers={"range": "bytes=100-299"})
            assert part.status_code == 206 and part.content == data[100:300]
            assert client.get(way["url"]).content == data
            again = client.get(way["url"], headers={"if-none-match": part.headers["etag"]})
            assert again.status_code == 304
            frame = client.get(f"/api/v1/videos/{video['id']}/frame", params={"at": 1.2, "full": 1})
            assert frame.status_code == 200 and frame.content.startswith(b"\xff\xd8")
            s3.gate.deny = lambda path: "a.mp4" in path
            denied = client.get(way["url"])
            assert denied.status_code in (403, 404, 503) and s3.bucket not in denied.text


def test_a_url_that_cannot_be_allowed_is_refused_at_the_start() -> None:
    with pytest.raises(ConfigError):
        ServeOptions.allowing(["ftp://h/x"])
    with pytest.raises(ConfigError):
        ServeOptions(allow_urls=("s3://films/",)).check()
    folders, urls = ServeOptions.allowing(["/srv/films", "s3://films/in/"])
    assert folders == (Path("/srv/films").absolute(),) and urls == ("s3://films/in",)
