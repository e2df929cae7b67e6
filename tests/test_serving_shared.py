"""Two real server processes over one library, asked in turn: whatever one of them does, the other knows."""

from __future__ import annotations

import itertools
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pytest
from clips import clip, library
from holding import held_command, held_environment

pytest.importorskip("uvicorn")
from footage.api import ServeOptions
from footage.api.faults import NotFound
from footage.api.options import Limits
from footage.api.shared import Board, SharedSessions

TOKEN = "a-token-of-more-than-16"
AT_WORK = ("queued", "running")


@dataclass
class Pair:
    """Two servers; `ask` goes to one and then to the other."""

    clients: list[httpx.Client]
    processes: list[subprocess.Popen[str]]
    films: Path
    hold: Path
    """As long as this file is there, indexing stops before the files `many`."""

    def __post_init__(self) -> None:
        self._turn = itertools.cycle(self.clients)

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        client = next(self._turn)
        return client.request(method, f"/api/v1{path}", headers=origin(client), **options)

    def get(self, path: str) -> Any:
        answer = self.ask("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def until(self, path: str, true: Any, seconds: float = 300) -> Any:
        """Ask both in turn until each of them has said so."""
        end = time.monotonic() + seconds
        right = 0
        while time.monotonic() < end:
            found = self.get(path)
            right = right + 1 if true(found) else 0
            if right >= 4:
                return found
            time.sleep(0.1)
        raise AssertionError(f"they do not agree: {found}")


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    films = tmp_path / "films"
    clip(films / "a.mp4", 0, 1)
    with library(tmp_path / "library") as lib:
        lib.index([films])
    environ = held_environment(tmp_path / "hold", "many")
    environ |= {"FOOTAGE_TOKEN": TOKEN, "PYTHONPATH": str(Path(__file__).parents[1])}
    command = held_command("serve", "--library", tmp_path / "library", "--port", "0", "--shared", "--allow-dir", films)
    processes = [
        subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True, cwd=tmp_path) for _ in range(2)
    ]
    clients: list[httpx.Client] = []
    try:
        for process in processes:
            assert process.stderr is not None
            line = process.stderr.readline()
            assert line.startswith("http"), line + process.stderr.read()
            clients.append(httpx.Client(base_url=line.split()[0].rstrip("/"), timeout=120, trust_env=False))
        yield Pair(clients, processes, films, tmp_path / "hold")
    finally:
        for client in clients:
            client.close()
        for process in processes:
            process.send_signal(signal.SIGINT)
        for process in processes:
            try:
                process.wait(120)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def test_two_servers_are_one_to_who_asks(pair: Pair) -> None:
    one, two = pair.clients
    # A login at one is a login at both, and so is a logout.
    answer = one.post("/login", data={"secret": TOKEN}, headers={"origin": str(one.base_url).rstrip("/")})
    assert answer.status_code in (200, 303), answer.text
    cookie = answer.cookies["footage_session"]
    assert two.get("/api/v1/videos").status_code == 401
    for client in pair.clients:
        client.cookies.set("footage_session", cookie)
        assert client.get("/api/v1/videos").status_code == 200

    # What is indexed by one is found by both; its job is known to both, and told by both to the end.
    clip(pair.films / "b.mp4", 2, 3)
    job = pair.ask("POST", "/index", json={"folders": ["films"]}).json()["id"]
    done = pair.until(f"/jobs/{job}", lambda found: found["state"] == "done")
    assert done["counts"] == {"indexed": 1, "unchanged": 1}
    assert all(found["id"] == job for _ in range(2) for found in pair.get("/jobs")["jobs"])
    videos = pair.until("/videos", lambda found: len(found["videos"]) == 2, seconds=120)["videos"]
    for _ in range(4):
        found = pair.ask("POST", "/search", json={"parts": [{"kind": "text", "value": "colours"}]})
        assert found.status_code == 200 and {m["video"] for m in found.json()["moments"]} == {v["id"] for v in videos}

    # A file that was sent to one can be searched with at the other.
    sent = one.post("/api/v1/query-files", files={"file": (pair.films / "b.mp4").open("rb")}, headers=origin(one))
    upload = sent.json()["files"][0]["id"]
    query = {"parts": [{"kind": "video", "upload": upload}]}
    for client in pair.clients:
        found = client.post("/api/v1/search", json=query, headers=origin(client))
        assert found.status_code == 200, found.text
        best = found.json()["moments"][0]["video"]
        assert next(v["name"] for v in videos if v["id"] == best) == "b.mp4"
    assert two.delete(f"/api/v1/query-files/{upload}", headers=origin(two)).status_code == 204
    assert one.get(f"/api/v1/query-files/{upload}").status_code == 404

    # What one removes, the other does not find any more.
    gone = videos[0]["id"]
    assert one.delete(f"/api/v1/videos/{gone}", headers=origin(one)).status_code == 200
    pair.until("/videos", lambda found: len(found["videos"]) == 1, seconds=120)
    found = two.post("/api/v1/search", json={"parts": [{"kind": "text", "value": "colours"}]}, headers=origin(two))
    assert gone not in {m["video"] for m in found.json()["moments"]}

    assert two.post("/logout", headers=origin(two)).status_code in (200, 303)
    for client in pair.clients:
        client.cookies.clear()
        client.cookies.set("footage_session", cookie)
        assert client.get("/api/v1/videos").status_code == 401


def test_a_job_is_stopped_through_the_other_server_and_told_as_lost_when_its_server_is_killed(pair: Pair) -> None:
    for client in pair.clients:
        client.headers["authorization"] = f"Bearer {TOKEN}"
    one, two = pair.clients
    for number in range(6):
        clip(pair.films / f"many{number}.mp4", number, number + 1, number + 2)
    job = one.post("/api/v1/index", json={"folders": ["films"]}).json()["id"]
    pair.until(f"/jobs/{job}", lambda found: found["state"] == "running")
    assert two.delete(f"/api/v1/jobs/{job}").status_code == 200
    pair.until(f"/jobs/{job}", lambda found: found["state"] == "cancelled")
    assert two.delete(f"/api/v1/jobs/{job}").status_code == 409
    assert two.get("/api/v1/jobs/none").status_code == 404
    job = one.post("/api/v1/index", json={"folders": ["films"]}).json()["id"]
    pair.until(f"/jobs/{job}", lambda found: found["state"] == "running")
    pair.processes[0].kill()
    pair.processes[0].wait()
    end = time.monotonic() + 120
    while (found := two.get(f"/api/v1/jobs/{job}").json())["state"] in AT_WORK and time.monotonic() < end:
        time.sleep(0.5)
    assert found["state"] == "failed" and "has ended" in found["error"]["message"]
    # The lock died with the process: the other one can index.
    pair.hold.unlink()
    again = two.post("/api/v1/index", json={"folders": ["films"]}).json()["id"]
    while (found := two.get(f"/api/v1/jobs/{again}").json())["state"] in AT_WORK and time.monotonic() < end + 400:
        time.sleep(0.5)
    assert found["state"] == "done", found


def test_what_another_server_removes_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An order for a job of its own, just when this one looks how old that is; and a session that has ended."""
    monkeypatch.setattr("footage.api.shared._BEAT", 0.01)

    class Nobodys:
        asked: ClassVar[list[str]] = []

        def all(self) -> list[Any]:
            return []

        def cancel(self, job: str) -> None:
            self.asked.append(job)
            (tmp_path / f"{job}.cancel").unlink()
            raise NotFound("no such job", hint="")

    board = Board(tmp_path, Nobodys(), lambda job: job)  # type: ignore[arg-type]
    for job in ("first", "second"):
        (tmp_path / f"{job}.cancel").touch()
        end = time.monotonic() + 120
        while job not in Nobodys.asked and time.monotonic() < end:
            time.sleep(0.01)
        assert Nobodys.asked[-1] == job
    board.close()

    folder = tmp_path / "sessions"
    folder.mkdir()
    (folder / "ended").symlink_to(folder / "nowhere")
    sessions = SharedSessions(folder, ServeOptions(limits=Limits(sessions=2)))
    cookies = [sessions.new() for _ in range(3)]
    assert sum(map(sessions.known, cookies)) == 2 and sessions.known(cookies[2])


def origin(client: httpx.Client) -> dict[str, str]:
    return {"origin": str(client.base_url).rstrip("/")}
