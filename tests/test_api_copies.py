"""Copies over HTTP and for agents: films of a seed, clips of known seconds of them."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import threading
import time
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from clips import library as open_library
from films import HEIGHT, WIDTH, film, still, write
from hub_server import until
from mcp import Client, StdioServerParameters
from media_samples import Picture
from PIL import Image
from serving import Served, serving

from footage.api import Limits, ServeOptions
from footage.copies.within import Within
from footage.library import Library

API = "/api/v1"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three films; the third holds four seconds of the first; clips of the first: plain, mirrored, cut to a part."""
    root = tmp_path_factory.mktemp("copies")
    for seed in (1, 2):
        write(root / "films" / f"film{seed}.mp4", film(seed))
    write(root / "films" / "mixed.mp4", chain(film(3, 0, 4), film(1, 2, 6)))
    write(root / "clip.mp4", film(1, 2.0, 6.0))
    write(root / "mirrored.mp4", film(1, 2.0, 6.0), lambda p: p[:, ::-1])
    write(root / "part.mp4", film(1, 2.0, 6.0), part)
    write(root / "long.mp4", still(np.zeros((HEIGHT, WIDTH, 3), np.uint8), 12.0))
    write(root / "other.mp4", film(9, 0, 3))
    Image.new("RGB", (64, 64)).save(root / "picture.jpg")
    with open_library(root / "library") as library:
        library.index(root / "films")
    return root


def part(p: Picture) -> Picture:
    return p[HEIGHT // 8 : -HEIGHT // 8, WIDTH // 5 :]


@pytest.fixture(scope="module")
def served(place: Path) -> Iterator[Served]:
    options = ServeOptions(allow_dirs=(place / "films",), limits=Limits(clip_seconds=10.0))
    with serving(open_library(place / "library"), options) as found:
        yield found


def sent(served: Served, file: Path, **said: Any) -> httpx.Response:
    form = {"query": json.dumps(said)} if said else None
    with file.open("rb") as data:
        return served.client.post(f"{API}/copies/files", files={"clip": (file.name, data)}, data=form)


def upload(served: Served, file: Path) -> str:
    with file.open("rb") as data:
        answer = served.client.post(f"{API}/query-files", files={"file": (file.name, data)})
    return str(answer.json()["files"][0]["id"])


def names(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    found = answer.json()
    return [found["videos"][m["video"]]["name"] for m in found["matches"]]


def near(match: dict[str, Any], query: tuple[float, float], video: tuple[float, float]) -> bool:
    found = [match[n] for n in ("query_start", "query_end", "start", "end")]
    return bool(np.abs(np.subtract(found, (*query, *video))).max() <= 0.2)


# --------------------------------------------------------------------------------------------------------- the search


def test_a_clip_that_is_sent_along(served: Served, place: Path) -> None:
    answer = sent(served, place / "mirrored.mp4")
    assert sorted(names(answer)) == ["film1.mp4", "mixed.mp4"]
    found = answer.json()
    assert found["query"] == "mirrored.mp4" and found["seconds"] == pytest.approx(4, abs=0.1)
    for match in found["matches"]:
        start = 2 if found["videos"][match["video"]]["name"] == "film1.mp4" else 4
        assert near(match, (0, 4), (start, start + 4)), match
        assert match["mirrored"] and match["probability"] > 0.5 and match["evidence"] == ["picture"]
        assert match["speed"] == pytest.approx(1, abs=0.02)
        assert match["offset"] == pytest.approx(match["start"] - match["speed"] * match["query_start"], abs=0.002)


def test_a_search_for_a_clip_may_say_which_of_its_seconds_are_found(served: Served, place: Path) -> None:
    query = {"parts": [{"kind": "video", "upload": upload(served, place / "mirrored.mp4")}], "k": 2}
    coarse = served.client.post(f"{API}/search", json=query).json()
    assert all(m["match"] is None for m in coarse["moments"])
    found = served.client.post(f"{API}/search", json={**query, "align": True}).json()
    assert found["next"]
    assert sorted(found["videos"][m["video"]]["name"] for m in found["moments"]) == ["film1.mp4", "mixed.mp4"]
    for moment in found["moments"]:
        match = moment["match"]
        start = 2 if found["videos"][moment["video"]]["name"] == "film1.mp4" else 4
        assert near(match, (0, 4), (start, start + 4)) and match["mirrored"] and match["video"] == moment["video"]
        assert (moment["start"], moment["end"]) == (match["start"], match["end"])
    following = served.client.post(f"{API}/search", json={**query, "align": True, "page": found["next"]}).json()
    assert following["moments"] and all(m["match"] is None for m in following["moments"])
    said = {"parts": [{"kind": "video", "file": "clip"}], "align": True, "k": 1}
    with (place / "clip.mp4").open("rb") as data:
        form = {"query": json.dumps(said)}
        sent_along = served.client.post(f"{API}/search/files", files={"clip": ("clip.mp4", data)}, data=form).json()
    (moment,) = sent_along["moments"]
    assert near(moment["match"], (0, 4), (moment["start"], moment["end"]))


def test_what_may_answer(served: Served, place: Path) -> None:
    clip = place / "clip.mp4"
    assert names(sent(served, clip, where={"folders": ["mixed*"]})) == ["mixed.mp4"]
    assert len(names(sent(served, clip, k=1))) == 1
    assert names(sent(served, place / "other.mp4")) == []
    assert names(sent(served, clip, min_probability=1.0)) == []


def test_an_upload_and_a_range_of_the_library(served: Served, place: Path) -> None:
    answer = served.client.post(f"{API}/copies", json={"upload": upload(served, place / "clip.mp4")})
    assert sorted(names(answer)) == ["film1.mp4", "mixed.mp4"]
    film1, mixed = served.id_of("film1.mp4"), served.id_of("mixed.mp4")
    answer = served.client.post(f"{API}/copies", json={"moment": {"video": film1, "start": 2.0, "end": 6.0}})
    assert names(answer) == ["mixed.mp4"], "a range is no match of itself"
    assert near(answer.json()["matches"][0], (0, 4), (4, 8))
    answer = served.client.post(f"{API}/copies", json={"moment": {"video": mixed[:8]}, "k": 1})
    assert names(answer) == ["film1.mp4"] and answer.json()["query"] == "mixed.mp4 0.0-8.0 s"
    assert near(answer.json()["matches"][0], (4, 8), (2, 6))


def test_the_library_against_itself(served: Served) -> None:
    for verify in (True, False):
        answer = served.client.post(f"{API}/copies/within", json={"verify": verify})
        assert answer.status_code == 200, answer.text
        found = answer.json()
        assert len(found["groups"]) == 1 and found["shared"] == []
        group = found["groups"][0]
        assert {found["videos"][c["video"]]["name"] for c in group["videos"]} == {"film1.mp4", "mixed.mp4"}
        assert group["keep"] == group["videos"][0]["video"] and group["videos"][0]["kind"] == "master" and group["why"]
        match = found["matches"][0]
        ranges = ((2, 6), (4, 8)) if match["query"] == served.id_of("film1.mp4") else ((4, 8), (2, 6))
        slack = 0.25 if verify else 1.2
        edges = [match[n] for n in ("query_start", "query_end", "start", "end")]
        assert np.abs(np.subtract(edges, (*ranges[0], *ranges[1]))).max() <= slack, match
    assert served.client.post(f"{API}/copies/within", json={"verify": "perhaps"}).status_code == 422


def events(served: Served, path: str, wanted: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """What a stream of events says, in its order."""
    headers = {"accept": "text/event-stream"}
    out: list[tuple[str, dict[str, Any]]] = []
    with served.client.stream("POST", f"{API}{path}", json=wanted, headers=headers) as answer:
        assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/event-stream")
        kind = ""
        for line in answer.iter_lines():
            if line.startswith("event: "):
                kind = line.removeprefix("event: ")
            elif line.startswith("data: "):
                out.append((kind, json.loads(line.removeprefix("data: "))))
    return out


def test_a_search_tells_how_far_it_is(served: Served) -> None:
    film1 = served.id_of("film1.mp4")
    wanted = {"moment": {"video": film1, "start": 2.0, "end": 6.0}}
    *before, (kind, answer) = events(served, "/copies", wanted)
    assert kind == "answer" and len(answer["matches"]) == 1
    assert before and {kind for kind, _ in before} == {"progress"} and before[0][1]["what"] in ("waiting", "clip")
    *before, (kind, answer) = events(served, "/copies/within", {"again": True})
    assert kind == "answer" and len(answer["groups"]) == 1
    assert all(0 <= each["done"] <= max(each["of"], 0) for _, each in before)
    ((kind, error),) = [e for e in events(served, "/copies", {"upload": "none"}) if e[0] != "progress"]
    assert kind == "error" and error["error"] == "NotFound" and "no such query file" in error["message"]


def test_what_was_compared_is_kept_until_the_library_changes(place: Path, tmp_path: Path) -> None:
    with open_library(tmp_path / "library") as library:
        library.index([place / "films" / "film1.mp4", place / "films" / "mixed.mp4"])
        told: list[str] = []

        def tell(what: str, _done: int, _of: int) -> None:
            told.append(what)

        first, groups = library.copies_within(on_progress=tell)
        assert {"videos", "pairs"} <= set(told)
        told.clear()
        assert library.copies_within(on_progress=tell) == (first, groups) and not told
        assert library.copies_within(again=True, on_progress=tell)[1] == groups and told
        told.clear()
        files = [library.path / name for name in ("copies.json", "repeats.json")]
        before = [file.read_bytes() for file in files]
        library.copies_within(verify=False, on_progress=tell)
        assert told, "it was compared in another way"
        assert [file.read_bytes() for file in files] == before, "searches heed what is verified"
        told.clear()
        assert library.copies_within(on_progress=tell) == (first, groups) and not told
        library.index(place / "films" / "film2.mp4")
        told.clear()
        assert len(library.copies_within(on_progress=tell)[1]) == 1 and told
        (library.path / "copies.json").write_text("{", encoding="utf-8")
        told.clear()
        assert len(library.copies_within(on_progress=tell)[1]) == 1 and told


def test_who_leaves_ends_the_comparison(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that closes the stream: the work stops at its next step."""
    steps: list[int] = []
    over = threading.Event()
    real = Within.candidates

    def slow(self: Within, videos: Any, space: str) -> Any:
        try:
            for step in range(12_000):
                steps.append(step)
                self.on_progress("videos", step, 12_000)
                time.sleep(0.05)
        finally:
            over.set()
        return real(self, videos, space)

    monkeypatch.setattr(Within, "candidates", slow)
    with serving(open_library(place / "library")) as served:
        headers = {"accept": "text/event-stream"}
        with served.client.stream("POST", f"{API}/copies/within", json={"again": True}, headers=headers) as answer:
            for line in answer.iter_lines():
                if '"videos"' in line:
                    break
        assert over.wait(120) and len(steps) < 12_000


def test_an_empty_library_has_no_copies(tmp_path: Path, place: Path) -> None:
    with serving(open_library(tmp_path / "none")) as served:
        answers = [served.client.post(f"{API}/copies/within", json={}), sent(served, place / "clip.mp4")]
        assert [(a.status_code, a.json()["error"]) for a in answers] == [(404, "NotIndexed")] * 2


def test_what_is_refused(served: Served, place: Path, tmp_path: Path) -> None:
    video = served.id_of("film1.mp4")
    note = tmp_path / "note.mp4"
    note.write_text("no film")
    cases = [
        (sent(served, place / "picture.jpg"), 400, "picture.jpg is a picture"),
        (sent(served, place / "long.mp4"), 413, "long.mp4 lasts 12 s"),
        (sent(served, note), 422, "note.mp4"),
        (sent(served, place / "clip.mp4", k=0), 422, "k:"),
        (sent(served, place / "clip.mp4", secret=1), 422, "secret"),
        (served.client.post(f"{API}/copies/files", files={}), 422, "multipart"),
        (served.client.post(f"{API}/copies", json={}), 422, "exactly one"),
        (served.client.post(f"{API}/copies", json={"upload": "none"}), 404, "no such query file"),
        (served.client.post(f"{API}/copies", json={"moment": {"video": "ffffffff"}}), 404, "no such video"),
        (served.client.post(f"{API}/copies", json={"moment": {"video": video, "start": 5, "end": 5}}), 400, "range"),
    ]
    for answer, status, words in cases:
        assert answer.status_code == status and words in answer.json()["message"], answer.text
        assert str(place) not in answer.text and "/tmp" not in answer.text
    files = [("clip", (place / "clip.mp4").open("rb")) for _ in range(2)]
    answer = served.client.post(f"{API}/copies/files", files=files)
    assert answer.status_code == 422 and "exactly one" in answer.json()["message"]


def test_a_range_that_is_too_long(place: Path) -> None:
    with serving(open_library(place / "library"), ServeOptions(limits=Limits(clip_seconds=3.0))) as served:
        answer = served.client.post(f"{API}/copies", json={"moment": {"video": served.id_of("film1.mp4")}})
        assert answer.status_code == 413 and "at most 3 s" in answer.json()["message"]


# -------------------------------------------------------------------------------------------------------- its picture


@pytest.mark.parametrize("name", ["clip.mp4", "mirrored.mp4", "part.mp4"])
def test_the_picture_of_a_match_has_its_path(served: Served, place: Path, name: str) -> None:
    """Along the path the moments are alike, and more so than at other times."""
    clip = {"upload": upload(served, place / name)}
    match = served.client.post(f"{API}/copies", json=clip).json()["matches"][0]
    ref = {n: match[n] for n in ("video", "query_start", "query_end", "start", "end", "mirrored")}
    answer = served.client.post(f"{API}/copies/alignment", json={**clip, "match": ref})
    assert answer.status_code == 200, answer.text
    found = answer.json()
    query, video = np.array(found["query_times"]), np.array(found["video_times"])
    values = np.array(found["similarity"])
    assert values.shape == (len(query), len(video)) and max(values.shape) <= 96
    assert query[0] < 0.2 and query[-1] > 3.5 and video[0] < match["start"] and video[-1] > match["end"] - 0.5
    wanted = match["offset"] + match["speed"] * query
    on = values[np.arange(len(query)), np.abs(video[None] - wanted[:, None]).argmin(axis=1)]
    off = values[np.abs(video[None] - wanted[:, None]) > 0.5]
    assert np.median(on) > 60 and np.median(on) > np.percentile(off, 95), (np.median(on), np.percentile(off, 95))


def test_no_picture_of_what_is_no_match(served: Served, place: Path) -> None:
    clip = {"upload": upload(served, place / "clip.mp4")}
    whole = {"video": served.id_of("film1.mp4"), "query_start": 0, "query_end": 4, "start": 2, "end": 6}
    for change, status in (
        ({"query_end": 0}, 400),
        ({"start": 50, "end": 54}, 400),
        ({"query_start": 40, "query_end": 44}, 400),
        ({"end": 9999}, 400),
        ({"video": "ffffffff"}, 404),
        ({"end": "x"}, 422),
    ):
        answer = served.client.post(f"{API}/copies/alignment", json={**clip, "match": {**whole, **change}})
        assert answer.status_code == status, (change, answer.text)
        assert "/tmp" not in answer.text


# --------------------------------------------------------------------------------------------------------------- load


def held(library: Library, monkeypatch: pytest.MonkeyPatch) -> tuple[threading.Event, threading.Event]:
    """Searches for copies set the first when they begin, and end when the second is set."""
    begun, go = threading.Event(), threading.Event()
    real = library.copies

    def copies(*arguments: Any, on_progress: Any, **options: Any) -> Any:
        begun.set()
        end = time.monotonic() + 120
        while not go.wait(0.02) and time.monotonic() < end:
            on_progress(0.0)  # which ends it, when nobody waits
        return real(*arguments, on_progress=on_progress, **options)

    monkeypatch.setattr(library, "copies", copies)
    return begun, go


def test_a_burst_of_copy_searches_is_refused_and_words_are_answered_meanwhile(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ServeOptions(limits=Limits(copies=2))
    with open_library(place / "library") as library, serving(library, options) as served:
        _, go = held(library, monkeypatch)
        question = {"moment": {"video": served.id_of("mixed.mp4")}}
        statuses: list[int] = []

        def ask() -> None:
            statuses.append(
                httpx.post(f"{served.url}{API}/copies", json=question, timeout=300, trust_env=False).status_code
            )

        threads = [threading.Thread(target=ask) for _ in range(6)]
        for thread in threads:
            thread.start()
        answer = served.client.get(f"{API}/search", params={"q": "a cat"})
        assert answer.status_code == 200
        until(lambda: len(statuses) == 4)
        go.set()
        for thread in threads:
            thread.join()
        assert (statuses.count(200), statuses.count(429)) == (2, 4)
        until(lambda: "footage_copies_inside 0.0" in served.client.get("/metrics").text)
        assert "footage_copies_refused 4.0" in served.client.get("/metrics").text


def test_a_copy_search_that_takes_too_long_is_given_up(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = ServeOptions(limits=Limits(copy_work_seconds=0.05))
    with open_library(place / "library") as library, serving(library, options) as served:
        held(library, monkeypatch)  # on any machine
        answer = served.client.post(f"{API}/copies", json={"moment": {"video": served.id_of("mixed.mp4")}})
        assert answer.status_code == 503 and answer.json()["retry"] and "retry-after" in answer.headers
        until(lambda: "footage_copies_inside 0.0" in served.client.get("/metrics").text)


def test_a_client_that_left_is_not_searched_for(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_library(place / "library") as library, serving(library) as served:
        begun, _ = held(library, monkeypatch)
        question = json.dumps({"moment": {"video": served.id_of("mixed.mp4")}}).encode()
        with socket.create_connection(("127.0.0.1", served.port)) as sock:
            sock.sendall(
                b"POST /api/v1/copies HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
                b"content-length: %d\r\n\r\n%s" % (len(question), question)
            )
            assert begun.wait(120)
        until(lambda: "footage_copies_inside 0.0" in served.client.get("/metrics").text)
        until(lambda: 'route="/api/v1/copies",status="499"' in served.client.get("/metrics").text)


# ------------------------------------------------------------------------------------------------------------- agents


def test_an_agent_finds_copies(served: Served, place: Path) -> None:
    async def work(client: Client) -> None:
        asked = {"video": served.id_of("film1.mp4"), "start": 2.0, "end": 6.0}
        found = (await client.call_tool("copies", asked)).structured_content["matches"]
        assert [m["name"] for m in found] == ["mixed.mp4"] and near(found[0], (0, 4), (4, 8))
        assert found[0]["offset"] == pytest.approx(4, abs=0.2) and 0 < found[0]["score"] <= 1.01
        found = (await client.call_tool("copies", {"file": "films/mixed.mp4", "folder": "film1*"})).structured_content
        assert [m["name"] for m in found["matches"]] == ["film1.mp4"] and near(found["matches"][0], (4, 8), (2, 6))
        for arguments, words in (
            ({}, "exactly one"),
            ({"video": "ffffffff"}, "no such video"),
            ({"file": str(place / "clip.mp4")}, "may be indexed"),
            ({"file": "films/none.mp4"}, "may be indexed"),
            ({"video": asked["video"], "start": 7, "end": 3}, "not a range"),
        ):
            answer = await client.call_tool("copies", arguments)
            assert answer.is_error and words in answer.content[0].text and str(place) not in answer.content[0].text
        found = {"state": "running"}
        while found["state"] == "running":
            found = (await client.call_tool("copies_within", {"wait_seconds": 5})).structured_content
        (group,) = found["groups"]
        assert {v["name"] for v in group["videos"]} == {"film1.mp4", "mixed.mp4"} and found["shared"] == []
        assert group["videos"][0]["kind"] == "master" and group["videos"][0]["advice"] == "keep" and group["why"]

    async def main(target: Any) -> None:
        async with Client(target, read_timeout_seconds=300) as client:
            await work(client)

    asyncio.run(main(f"{served.url}/mcp"))
    command = ["-m", "footage.cli", "mcp", "--library", str(place / "library"), "--allow-dir", str(place / "films")]
    asyncio.run(main(StdioServerParameters(command=sys.executable, args=command)))
