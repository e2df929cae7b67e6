"""The REST face, as a program uses it: a real server, real files, answers whose truth is known."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import httpx
import numpy as np
import onnx_models
import psutil
import pytest
from clips import clip
from clips import library as open_library
from holding import Hold
from hub_server import FakeHub, until
from hub_server import serving as hub_server
from PIL import Image
from serving import SHOTS, Served, films, indexed, photograph, serving

from footage.api import Limits, ServeOptions
from footage.api.paging import Page, decode, encode
from footage.encoders.auto import choose_auto
from footage.encoders.rows import RECOMMENDED, ROWS
from footage.errors import QueryError
from footage.library import Library


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("served")


@pytest.fixture(scope="module")
def served(place: Path) -> Iterator[Served]:
    library = indexed(place)
    with serving(library, ServeOptions(allow_dirs=(place / "films",))) as found:
        yield found


def post(served: Served, *parts: dict, **more: object) -> dict:
    answer = served.client.post("/api/v1/search", json={"parts": list(parts), **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


def words(text: str, **more: object) -> dict:
    return {"kind": "text", "value": text, **more}


def shown_in(answer: dict, number: int = 0) -> tuple[str, float, float]:
    moment = answer["moments"][number]
    return answer["videos"][moment["video"]]["name"], moment["start"], moment["end"]


# -------------------------------------------------------------------------------------------------------- searching


def test_words_find_the_seconds(served: Served) -> None:
    name, start, end = shown_in(post(served, words("a cat")))
    assert name == "cat & coffee #1.mp4"
    assert start == pytest.approx(3, abs=1.1) and end == pytest.approx(6, abs=0.2)


def test_a_simple_search_answers_as_the_full_one_does(served: Served) -> None:
    simple = served.client.get("/api/v1/search", params={"q": "a rocket", "not": "a cat", "k": 2}).json()
    full = post(served, words("a rocket"), words("a cat", weight=-1), k=2)
    assert simple["moments"] == full["moments"]
    assert [e["channel"] for e in simple["moments"][0]["evidence"]] == ["text", "not"]


def test_a_picture_is_sent_once_and_named_in_queries(served: Served) -> None:
    photo = photograph("coffee")
    sent = served.client.post("/api/v1/query-files", files={"file": (photo.name, photo.read_bytes())})
    assert sent.status_code == 201, sent.text
    (file,) = sent.json()["files"]
    assert file["kind"] == "image" and file["width"] == Image.open(photo).width
    answer = post(served, {"kind": "image", "upload": file["id"]})
    assert shown_in(answer)[0] == "cat & coffee #1.mp4" and answer["moments"][0]["at"] < 3
    assert answer["moments"][0]["evidence"][0]["query"] == photo.name  # and no path
    small = served.client.get(f"/api/v1/query-files/{file['id']}/frame")
    assert small.headers["content-type"] == "image/jpeg" and small.content[:2] == b"\xff\xd8"
    assert served.client.delete(f"/api/v1/query-files/{file['id']}").status_code == 204
    gone = served.client.post("/api/v1/search", json={"parts": [{"kind": "image", "upload": file["id"]}]})
    assert gone.status_code == 404 and gone.json()["error"] == "NotFound"


def test_a_picture_and_a_clip_sent_with_the_search_are_removed_afterwards(
    served: Served, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tempfile

    photo = photograph("rocket")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # others may be searching on this machine
    answer = served.client.post("/api/v1/search/files", files={"file": ("r.jpg", photo.read_bytes())}, data={"k": "1"})
    assert answer.status_code == 200, answer.text
    assert shown_in(answer.json())[0] == "太空 100%+.mp4"
    clip_bytes = (place / "films" / "plain.mp4").read_bytes()
    query = {"parts": [{"kind": "video", "file": "mine"}, words("grass", weight=0.2)], "k": 1}
    answer = served.client.post(
        "/api/v1/search/files", files={"mine": ("clip.mp4", clip_bytes)}, data={"query": json.dumps(query)}
    )
    assert answer.status_code == 200, answer.text
    assert shown_in(answer.json())[0] == "plain.mp4"
    assert list(tmp_path.iterdir()) == []


def test_more_like_this_moment_and_a_box_of_it(served: Served) -> None:
    cat = served.id_of("cat & coffee #1.mp4")
    answer = post(served, {"kind": "image", "moment": {"video": cat, "at": 4.0}})
    assert shown_in(answer)[0] == "cat & coffee #1.mp4" and answer["moments"][0]["strength"] > 0.9
    box = {"x": 0.2, "y": 0.1, "w": 0.5, "h": 0.6}
    boxed = post(served, {"kind": "image", "moment": {"video": cat, "at": 4.0, "box": box}})
    assert shown_in(boxed)[0] == "cat & coffee #1.mp4"
    assert boxed["moments"][0]["evidence"][0]["query"] == "cat & coffee #1.mp4 4.0 s"
    clip_of = post(served, {"kind": "video", "moment": {"video": cat, "start": 3.0, "end": 6.0}})
    name, start, _ = shown_in(clip_of)
    assert name == "cat & coffee #1.mp4" and start == pytest.approx(3, abs=0.6)


def test_filters_choose_the_videos(served: Served) -> None:
    cat = served.id_of("cat & coffee #1.mp4")
    assert {m["video"] for m in post(served, words("a cat"), where={"videos": [cat[:6]]})["moments"]} == {cat}
    inside = post(served, words("a cat"), where={"folders": ["films/plain*"]})
    assert {v["name"] for v in inside["videos"].values()} == {"plain.mp4"}
    assert post(served, words("a cat"), where={"after": "2200"})["moments"] == []
    assert post(served, words("a cat"), where={"min_duration": 8})["videos"].keys() == {served.id_of("plain.mp4")}


def test_pages_add_up_to_the_whole(served: Served) -> None:
    whole = post(served, words("a cat"), k=7)["moments"]
    paged, page = [], None
    while True:
        answer = post(served, words("a cat"), k=2, page=page)
        paged += answer["moments"]
        page = answer["next"]
        if page is None:
            break
    assert paged[:7] == whole
    assert len({(m["video"], m["at"]) for m in paged}) == len(paged)


def test_a_page_stays_the_same_while_videos_come(tmp_path: Path) -> None:
    library = open_library(tmp_path / "library")
    first = films(tmp_path / "a", ("plain.mp4",))
    library.index(first)
    with serving(library, ServeOptions(allow_dirs=(tmp_path,))) as served:
        query = {"parts": [words("a cat")], "k": 1, "per_video": 3}
        one = served.client.post("/api/v1/search", json=query).json()
        before = post(served, words("a cat"), k=3)["moments"]
        library.index(films(tmp_path / "b", ("cat & coffee #1.mp4",)))  # much better answers
        two = served.client.post("/api/v1/search", json={**query, "page": one["next"]}).json()
        assert two["moments"][0]["video"] == before[1]["video"] and two["moments"][0]["at"] == before[1]["at"]
        fresh = served.client.post("/api/v1/search", json=query).json()
        assert shown_in(fresh)[0] == "cat & coffee #1.mp4"


def test_page_tokens_are_checked(served: Served) -> None:
    token = encode(Page(10, 5.0), "abc")
    assert decode(token, "abc") == Page(10, 5.0)
    for bad in ("", "x", "%%%", token[:-3], token + "AA", encode(Page(-1, 5.0), "abc"), encode(Page(1, 1e400), "abc")):
        with pytest.raises(QueryError):
            decode(bad, "abc")
    with pytest.raises(QueryError):
        decode(token, "another query")
    answer = served.client.get("/api/v1/search", params={"q": "a cat", "page": token})
    assert answer.status_code == 400 and "page token" in answer.json()["message"]


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({"parts": []}, 422, "parts"),
        ({"parts": [{"kind": "text", "value": "x", "upload": "y"}]}, 422, "exactly one"),
        ({"parts": [{"kind": "image", "value": "/etc/passwd"}]}, 422, "words are given"),
        ({"parts": [words("a", weight=0)]}, 400, "weight of 0"),
        ({"parts": [words("a", weight=-1)]}, 400, "no direction"),
        ({"parts": [words("a")], "k": 10_000}, 422, "k"),
        ({"parts": [words("a")], "where": {"after": "soon"}}, 400, "not a date"),
        ({"parts": [words("a")], "where": {"after": -1e91}}, 422, "after"),
        ({"parts": [words("a")], "where": {"before": "1" * 50}}, 422, "before"),
        ({"parts": [{"kind": "image", "moment": {"video": "ffff", "at": 1}}]}, 404, "no such video"),
        ({"parts": [words("a")] * 17}, 400, "at most 16"),
        ({"parts": [words("   ")]}, 400, "empty"),
    ],
)
def test_a_wrong_query_is_told_in_words(served: Served, body: dict, status: int, says: str) -> None:
    answer = served.client.post("/api/v1/search", json=body)
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error", "message", "hint", "retry"} and says in answer.json()["message"]


def test_the_strip_rises_where_the_cat_is(served: Served) -> None:
    cat = served.id_of("cat & coffee #1.mp4")
    answer = served.client.post(f"/api/v1/videos/{cat}/curve", json={"parts": [words("a cat")]})
    assert answer.status_code == 200, answer.text
    strip = answer.json()
    at, strength = np.array(strip["at"]), np.array(strip["strength"])
    assert strength[at >= 3].max() > strip["weak"] > strength[at < 2.5].max()
    assert strip["start"][0] == 0 and strip["end"][-1] == pytest.approx(6, abs=0.1)
    assert all(e == s for e, s in zip(strip["end"], strip["start"][1:], strict=False))
    best = post(served, words("a cat"), where={"videos": [cat]})["moments"][0]
    assert strength.max() == pytest.approx(best["strength"], abs=0.002)


def test_the_strip_of_a_clip_covers_it(served: Served) -> None:
    cat = served.id_of("cat & coffee #1.mp4")
    part = {"kind": "video", "moment": {"video": cat, "start": 3.2, "end": 5.8}}
    strip = served.client.post(f"/api/v1/videos/{cat}/curve", json={"parts": [part]}).json()
    sure = dict(zip(strip["at"], strip["strength"], strict=True))
    assert min(s for a, s in sure.items() if 3.5 <= a <= 5.5) > 0.9
    assert max(s for a, s in sure.items() if a < 2.5) < 0.5


# ----------------------------------------------------------------------------------------------------------- videos


def test_the_list_of_videos_is_paged_and_filtered(served: Served) -> None:
    first = served.client.get("/api/v1/videos", params={"limit": 2}).json()
    assert first["total"] == 3 and len(first["videos"]) == 2
    rest = served.client.get("/api/v1/videos", params={"limit": 2, "page": first["next"]}).json()
    assert {v["name"] for v in first["videos"] + rest["videos"]} == set(SHOTS) and rest["next"] is None
    assert served.client.get("/api/v1/videos", params={"min_duration": 8}).json()["total"] == 1


def test_one_video_its_frames_and_its_storyboard(served: Served) -> None:
    video = served.id_of("plain.mp4")
    assert served.client.get(f"/api/v1/videos/{video[:8]}").json()["duration"] == pytest.approx(9, abs=0.05)
    times = served.client.get(f"/api/v1/videos/{video}/frames").json()["times"]
    assert times == served.library.frame_times(video)
    chosen = served.client.get(f"/api/v1/videos/{video}/frames", params={"start": 2, "end": 8, "limit": 4}).json()
    assert len(chosen["times"]) == 4 and all(2 <= t < 8 for t in chosen["times"])
    board = served.client.get(f"/api/v1/videos/{video}/storyboard", params={"start": 2, "end": 8, "limit": 4})
    import io

    assert Image.open(io.BytesIO(board.content)).size == (4 * 160, 90)
    assert board.headers["x-frame-count"] == "4"


def test_a_video_is_forgotten_and_its_file_stays(tmp_path: Path) -> None:
    library = indexed(tmp_path)
    with serving(library) as served:
        video = served.id_of("plain.mp4")
        assert served.client.delete(f"/api/v1/videos/{video}").json()["status"] == "removed"
        assert served.client.get(f"/api/v1/videos/{video}").status_code == 404
        assert served.client.delete(f"/api/v1/videos/{video}").status_code == 404
        assert (tmp_path / "films" / "plain.mp4").exists()


def test_a_video_cannot_be_named_by_a_path(served: Served, place: Path) -> None:
    for name in ("plain.mp4", "..%2F..%2Fetc%2Fpasswd", str(place / "films" / "plain.mp4").replace("/", "%2F")):
        assert served.client.get(f"/api/v1/videos/{name}/stream").status_code in (404, 422)


def test_models_library_failures_and_doctor(served: Served) -> None:
    models = served.client.get("/api/v1/models").json()["models"]
    assert [m["name"] for m in models if m["current"]] == ["starter"]
    at_a_glance = served.client.get("/api/v1/library").json()
    assert at_a_glance["videos"] == 3 and at_a_glance["can_index"] and at_a_glance["model"] == "starter"
    assert served.client.get("/api/v1/failures").json() == {"failures": []}
    doctor = served.client.get("/api/v1/doctor").json()
    assert doctor["whole"] and doctor["environment"]["python"]


def test_signs_of_life_and_figures(served: Served) -> None:
    assert served.client.get("/healthz").json() == {"status": "ok"}
    assert served.client.get("/readyz").status_code == 200
    served.client.get("/api/v1/search", params={"q": "figures"})
    text = served.client.get("/metrics").text
    assert 'footage_requests_total{method="GET",route="/api/v1/search",status="200"}' in text
    assert "footage_videos 3.0" in text and "process_resident_memory_bytes" in text
    assert "/api/v1/videos/{video}" in text or "footage_request_seconds" in text


def test_an_unknown_address_and_method_answer_in_our_words(served: Served) -> None:
    assert served.client.get("/api/v1/nothing").json()["error"] == "NotFound"
    assert served.client.put("/api/v1/search").json()["error"] == "MethodNotAllowed"


# ------------------------------------------------------------------------------------------------------------- jobs


def test_an_empty_library_is_ready_and_its_first_job_creates_it(tmp_path: Path) -> None:
    films(tmp_path / "films", ("cat & coffee #1.mp4",))
    (tmp_path / "films" / "broken.mp4").write_bytes(b"no video at all")
    library = open_library(tmp_path / "library")
    with serving(library, ServeOptions(allow_dirs=(tmp_path / "films",))) as served:
        assert served.client.get("/readyz").status_code == 200
        assert served.client.get("/api/v1/videos").json() == {"videos": [], "total": 0, "next": None}
        empty = served.client.get("/api/v1/search", params={"q": "a cat"})
        assert empty.status_code == 404 and str(tmp_path) not in empty.text
        folders = served.client.get("/api/v1/folders").json()["folders"]
        assert [f["path"] for f in folders] == ["films"]
        job = served.client.post("/api/v1/index", json={"folders": ["films"]})
        assert job.status_code == 202, job.text
        events = []
        with served.client.stream("GET", f"/api/v1/jobs/{job.json()['id']}/events") as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            events = [line for line in stream.iter_lines() if line]
        assert events[-2] == "event: end"
        last = json.loads(events[-1].removeprefix("data: "))
        assert last["state"] == "done" and last["counts"] == {"failed": 1, "indexed": 1}
        assert last["progress"]["fraction"] == 1 and last["progress"]["files"] == 2
        (failed,) = [f for f in last["files"] if f["status"] == "failed"]
        assert failed["name"] == "broken.mp4" and "not a video" in failed["error"]
        assert served.client.get("/api/v1/failures").json()["failures"][0]["name"] == "broken.mp4"
        assert shown_in(served.client.get("/api/v1/search", params={"q": "a cat"}).json())[0] == "cat & coffee #1.mp4"


def test_a_job_is_paused_resumed_and_cancelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "many"
    for number in range(12):
        clip(folder / f"{number:02}.mp4", number, number + 100, number + 200, seconds=4)
    library = open_library(tmp_path / "library")
    # It is at work when it is paused, and when it is cancelled, whatever the machine.
    first, second = (Hold(monkeypatch, lambda name, n=n: name >= f"{n:02}.mp4") for n in (2, 8))
    with serving(library, ServeOptions(allow_dirs=(folder,))) as served:

        def done() -> float:
            return served.client.get(f"/api/v1/jobs/{job}").json()["progress"]["video_seconds"]

        job = served.client.post("/api/v1/index", json={"folders": [str(folder)]}).json()["id"]
        served.wait(job, "running")
        assert first.reached.wait(120)
        paused = served.client.post(f"/api/v1/jobs/{job}/pause")
        assert paused.status_code == 200 and paused.json()["state"] == "paused"
        assert served.client.post(f"/api/v1/jobs/{job}/pause").status_code == 409
        first.go()
        before, end = -1.0, time.monotonic() + 120
        while (now := done()) != before:  # what was given before the pause is finished
            assert time.monotonic() < end
            before = now
            time.sleep(1.5)
        assert before <= 2 * 12 and not second.reached.is_set()
        assert served.client.post(f"/api/v1/jobs/{job}/resume").json()["state"] == "running"
        until(lambda: done() > before)
        assert second.reached.wait(120)
        assert served.client.delete(f"/api/v1/jobs/{job}").status_code == 200
        ended = served.wait(job)
        assert ended["state"] == "cancelled"
        assert served.client.delete(f"/api/v1/jobs/{job}").status_code == 409
        second.go()
        kept = ended["counts"].get("indexed", 0)
        assert 0 < kept < 12 and len(library.videos()) == kept
        assert [f for f in library.doctor() if not f.harmless] == []
        again = served.client.post("/api/v1/index", json={"folders": [str(folder)]}).json()["id"]
        assert served.wait(again)["counts"] == {"indexed": 12 - kept, "unchanged": kept}


def test_a_queued_job_is_cancelled_before_it_starts_and_the_line_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold = Hold(monkeypatch, lambda _: True)
    folder = tmp_path / "few"
    for number in range(4):
        clip(folder / f"{number}.mp4", number, number + 50, seconds=4)
    options = ServeOptions(allow_dirs=(folder,), limits=Limits(jobs_waiting=2))
    with serving(open_library(tmp_path / "library"), options) as served:
        ask = {"folders": ["few"]}
        first = served.client.post("/api/v1/index", json=ask).json()["id"]
        served.wait(first, "running")
        assert served.client.post(f"/api/v1/jobs/{first}/pause").status_code == 200
        second = served.client.post("/api/v1/index", json=ask).json()["id"]
        full = served.client.post("/api/v1/index", json=ask)
        assert full.status_code == 429 and full.headers["retry-after"]
        assert served.client.delete(f"/api/v1/jobs/{second}").json()["state"] == "cancelled"
        served.client.delete(f"/api/v1/jobs/{first}")
        assert served.wait(first)["state"] == "cancelled"
        hold.go()
        assert served.client.get("/api/v1/jobs/none").status_code == 404


def test_uploaded_videos_are_kept_and_indexed(tmp_path: Path) -> None:
    source = films(tmp_path / "films", ("太空 100%+.mp4",)) / "太空 100%+.mp4"
    library = open_library(tmp_path / "library")
    with serving(library) as served:
        names = ["../../evil/太空 #1.mp4", "a\u0000b\n.mp4"]
        sent = served.client.post("/api/v1/uploads", files=[("file", (names[0], source.read_bytes()))])
        assert sent.status_code == 202, sent.text
        assert sent.json()["names"] == ["太空 #1.mp4"]
        assert served.wait(sent.json()["job"]["id"])["counts"] == {"indexed": 1}
        again = served.client.post("/api/v1/uploads", files=[("file", ("太空 #1.mp4", source.read_bytes()))])
        assert again.json()["names"] == ["太空 #1 (2).mp4"]
        served.wait(again.json()["job"]["id"])
        kept = sorted(p.name for p in (library.path / "uploads").iterdir())
        assert kept == ["太空 #1 (2).mp4", "太空 #1.mp4"]
        assert shown_in(served.client.get("/api/v1/search", params={"q": "a rocket"}).json())[0].startswith("太空")
        assert not list(library.path.glob(".incoming-*"))


# ------------------------------------------------------------------------------------------------- at the same time


def test_searches_while_indexing_see_each_video_wholly_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("footage.ingest.writer._FLUSH_SECONDS", 0.1)  # many small commits
    folder = tmp_path / "many"
    for number in range(10):
        clip(folder / f"{number:02}.mp4", *(number * 10 + n for n in range(6)), seconds=1)
    library = open_library(tmp_path / "library")
    library.index(clip(tmp_path / "first.mp4", 901, 902))
    hold = Hold(monkeypatch, lambda name: name == "09.mp4")  # until some of the others were seen
    with serving(library, ServeOptions(allow_dirs=(folder,))) as served:
        job = served.client.post("/api/v1/index", json={"folders": ["many"]}).json()["id"]
        wrong: list[str] = []
        seen: set[str] = set()
        over = threading.Event()

        def look() -> None:
            with httpx.Client(base_url=served.url, timeout=120, trust_env=False) as client:
                while not over.is_set():
                    listed = client.get("/api/v1/videos").json()["videos"]
                    for video in listed:
                        seen.add(video["id"])
                        ask = {"parts": [words("blocks")]}
                        strip = client.post(f"/api/v1/videos/{video['id']}/curve", json=ask)
                        times = client.get(f"/api/v1/videos/{video['id']}/frames")
                        if strip.status_code != 200 or len(strip.json()["at"]) != video["samples"]:
                            wrong.append(f"{strip.status_code} {len(strip.json().get('at', []))} {video['samples']}")
                        if times.status_code != 200 or len(times.json()["times"]) != video["samples"]:
                            wrong.append(f"frames {times.status_code}")
                    answer = client.get("/api/v1/search", params={"q": "coloured blocks", "k": 50})
                    if answer.status_code != 200:
                        wrong.append(answer.text)

        threads = [threading.Thread(target=look) for _ in range(3)]
        for thread in threads:
            thread.start()
        until(lambda: len(seen) > 1 or wrong)  # looked at while it came
        hold.go()
        done = served.wait(job)
        over.set()
        for thread in threads:
            thread.join()
        assert done["counts"] == {"indexed": 10} and wrong == []


def test_a_burst_is_refused_and_not_gathered_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = indexed(tmp_path)
    with serving(library, ServeOptions(limits=Limits(searches=1, searches_waiting=2))) as served:
        served.client.get("/api/v1/search", params={"q": "warm"})
        before = psutil.Process().memory_info().rss
        real, go = library.search_many, threading.Event()
        # No search ends before all have come: on a machine that is slow to start threads too, it is a burst.
        monkeypatch.setattr(library, "search_many", lambda questions: go.wait(120) and real(questions))
        statuses: list[int] = []
        waits: list[str | None] = []

        def ask() -> None:
            answer = httpx.get(f"{served.url}/api/v1/search", params={"q": "a cat"}, timeout=120, trust_env=False)
            statuses.append(answer.status_code)
            waits.append(answer.headers.get("retry-after") if answer.status_code == 429 else "1")

        threads = [threading.Thread(target=ask) for _ in range(40)]
        for thread in threads:
            thread.start()
        until(lambda: len(statuses) == 37)
        go.set()
        for thread in threads:
            thread.join()
        assert (statuses.count(200), statuses.count(429)) == (3, 37) and all(waits)
        assert psutil.Process().memory_info().rss - before < 150 << 20
        assert served.client.get("/api/v1/search", params={"q": "a cat"}).status_code == 200


# ----------------------------------------------------------------------------------------------- the model of a library


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A hub that has the recommended model (a small one in its place), and keeps one waiting for the rest of it."""
    with hub_server() as found:
        for name, value in {
            "HF_ENDPOINT": found.endpoint,
            "HF_HOME": str(tmp_path / "hf"),
            "HF_HUB_OFFLINE": "0",
        }.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("HF_HUB_CACHE", raising=False)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        onnx_models.immich(tmp_path / "published")
        row = ROWS[RECOMMENDED]
        assert row.weights is not None
        found.add(row.weights.repo, tmp_path / "published")
        space = replace(row.spaces[0], dim=onnx_models.DIM)  # the small one's; others are refused
        monkeypatch.setitem(ROWS, RECOMMENDED, replace(row, spaces=(space,)))
        # A machine that halts for some seconds is no hub that does not answer.
        monkeypatch.setattr("footage.encoders.auto.choose_auto", partial(choose_auto, patience=120.0))
        found.held = "cdn/" + row.weights.repo + "/textual/model.onnx"
        yield found


def test_a_new_library_fetches_its_model_and_says_how_far_it_is(tmp_path: Path, hub: FakeHub) -> None:
    folder = films(tmp_path / "films", ("plain.mp4",))
    with serving(Library.open(tmp_path / "library"), ServeOptions(allow_dirs=(folder,))) as served:
        job = served.client.post("/api/v1/index", json={"folders": ["films"]}).json()
        told = []
        end = time.monotonic() + 300
        while time.monotonic() < end:
            now = served.client.get(f"/api/v1/jobs/{job['id']}").json()
            told.append(now["fetching"])
            if told[-1]:
                hub.hold.set()  # it was seen; now it may go on
            if now["state"] in ("done", "failed"):
                break
            time.sleep(0.05)
        assert now["state"] == "done", now["error"]
        shares = [t["done_bytes"] / t["total_bytes"] for t in told if t]
        assert shares and shares == sorted(shares) and told[-1] is None
        assert served.client.get("/api/v1/library").json()["model"] == RECOMMENDED
        assert served.client.get("/api/v1/search", params={"q": "a motorcycle"}).json()["moments"]


def test_fetching_a_model_can_be_cancelled_and_goes_on_the_next_time(tmp_path: Path, hub: FakeHub) -> None:
    folder = films(tmp_path / "films", ("plain.mp4",))
    with serving(Library.open(tmp_path / "library"), ServeOptions(allow_dirs=(folder,))) as served:
        job = served.client.post("/api/v1/index", json={"folders": ["films"]}).json()
        until(lambda: served.client.get(f"/api/v1/jobs/{job['id']}").json()["fetching"])
        served.client.delete(f"/api/v1/jobs/{job['id']}")
        hub.hold.set()
        assert served.wait(job["id"])["state"] == "cancelled"
        assert served.client.get("/api/v1/library").json()["model"] is None
        again = served.client.post("/api/v1/index", json={"folders": ["films"]}).json()
        done = served.wait(again["id"])
        assert done["state"] == "done", done["error"]
        assert served.client.get("/api/v1/library").json()["model"] == RECOMMENDED
