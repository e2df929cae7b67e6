"""The Lance store under real processes: two read while a third writes, and writers are killed at any moment."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from footage.stores import open_store
from footage.types import Embeddings, MediaFile, Space, Video

DIM = 64
SPACES = (Space("image", DIM, ("image",)), Space("text", 16, ("text",)))


def video(number: int, n: int) -> Video:
    files = (MediaFile(f"/films/{number}.mp4", number, number),)
    return Video(f"v{number:05}", files, float(n), 64, 36, 25.0, "h264", "mp4", 1.7e9 + number, n, "1s")


def rows(number: int, n: int) -> list[Embeddings]:
    rng = np.random.default_rng(number)
    at = np.arange(n, dtype=np.float64)
    made: list[Embeddings] = []
    for space in SPACES:
        vectors = rng.standard_normal((n, space.dim)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        made.append(Embeddings(space.name, f"v{number:05}", at, at + 1, at + 0.5, vectors))
    return made


WRITER = """
import sys, time
from footage.stores import open_store
from test_store_processes import *
path, first, last, n, pause = sys.argv[1], *map(int, sys.argv[2:5]), float(sys.argv[5])
marks = [Path(name) for name in sys.argv[6:]]  # of readers, who are at work before it is done
store = open_store(path)
for space in SPACES:
    store.create_space(space)
store.sweep()
for number in range(first, last):
    if store.get(f"v{number:05}") is None:
        for part in rows(number, n):
            store.add([part])
            store.counts("image")  # writes what was held back: readers meet rows without a mark
            time.sleep(pause)
        store.commit([video(number, n)])
        print(number, flush=True)
    end = time.monotonic() + 120
    while number == last // 2 and not all(mark.exists() for mark in marks) and time.monotonic() < end:
        time.sleep(0.02)
    if number % 10 == 9:
        store.refresh()
store.refresh()
"""

READER = """
import json, sys, time
import numpy as np
from footage.stores import open_store
from test_store_processes import *
path, n, stop, mark = sys.argv[1], int(sys.argv[2]), sys.argv[3], Path(sys.argv[4])
store = open_store(path)
rng = np.random.default_rng(0)
seen, searches, slow = set(), 0, 0.0
while True:
    last = Path(stop).exists()
    before = {v.id for v in store.videos()}
    assert seen <= before, "a committed video vanished"
    seen = before
    if store.spaces():
        queries = rng.standard_normal((2, DIM)).astype(np.float32)
        started = time.perf_counter()
        everything, few = store.search("image", queries, 100_000)[0], store.search("image", queries, 20)[1]
        slow = max(slow, time.perf_counter() - started)
        after = {v.id for v in store.videos()}
        found = set(everything.video_ids)
        assert before <= found | (before - after) and found <= after, (before - found, found - after)
        assert len(everything) >= n * len(before) and len(few) >= min(20, n * len(before))
        assert len(everything) == n * len(found), "a video was seen in part"
        for video_id in list(before)[-2:]:
            assert len(store.vectors("image", video_id)) == n
            assert set(store.search("text", queries[:, :16], 5, videos=[video_id])[0].video_ids) == {video_id}
        store.sample_vectors("image", 50)
        searches += 1
        if searches == 2:
            mark.touch()
    if last:
        break
print(json.dumps({"videos": len(seen), "searches": searches, "slowest": slow}))
"""


def python(code: str, *args: object) -> subprocess.Popen[str]:
    here = Path(__file__).parent
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(here.parent), str(here)])}
    command = [sys.executable, "-c", code, *map(str, args)]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str], timeout: float = 600) -> str:
    out, errors = process.communicate(timeout=timeout)
    assert process.returncode == 0, errors[-3000:]
    return out


def test_two_processes_search_while_a_third_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import json

    store, stop = tmp_path / "store", tmp_path / "stop"
    marks = [tmp_path / f"reader{number}" for number in range(2)]
    readers = [python(READER, store, 100, stop, mark) for mark in marks]
    # files are removed at once and an index is built early, so that readers are overtaken as often as can be
    eager = "import footage.stores.lance_table as t\nfrom datetime import timedelta\n"
    eager += "t._KEEP_VERSIONS, t.INDEX_ROWS, t._TAIL_ROWS = timedelta(milliseconds=1), 1_000, 500\n"
    writer = python(eager + WRITER, store, 0, 40, 100, 0.005, *marks)
    try:
        finish(writer)
    finally:
        stop.touch()
    for reader in readers:
        told = json.loads(finish(reader))
        assert told["videos"] == 40, "the last commit was not seen"
        assert told["searches"] >= 3
    assert open_store(store).counts("text") == {f"v{i:05}": 100 for i in range(40)}


def test_a_reader_sees_a_commit_at_once(tmp_path: Path) -> None:
    reader = open_store(tmp_path)
    assert reader.videos() == []
    for number in range(3):
        finish(python(WRITER, tmp_path, number, number + 1, 10, 0))
        (hits,) = reader.search("image", rows(number, 1)[0].vectors, 1)
        assert hits.video_ids == [f"v{number:05}"] and len(reader.videos()) == number + 1


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_killed_writers_lose_nothing(tmp_path: Path) -> None:
    """Kill the writer at random moments; what it acknowledged is there, and doing it again ends in the same state."""
    chance = random.Random(11)
    killed = tmp_path / "killed"
    acknowledged: set[int] = set()
    kills = 0
    started = time.monotonic()
    while kills < 4 or (kills < 8 and time.monotonic() - started < 15):
        writer = python(WRITER, killed, 0, 100_000, 40, 0.001)  # it has no end
        assert writer.stdout is not None
        lines = [writer.stdout.readline() for _ in range(chance.randrange(1, 12))]  # not before it works
        time.sleep(chance.random() * 0.15)
        writer.send_signal(signal.SIGKILL)
        rest, errors = writer.communicate(timeout=120)
        assert writer.returncode == -signal.SIGKILL, errors[-2000:]
        kills += 1
        acknowledged |= {int(line) for line in [*lines, *rest.splitlines()] if line.strip()}
        store = open_store(killed)
        present = {int(v.id[1:]) for v in store.videos()}
        assert acknowledged <= present, f"lost after kill {kills}"
        for number in sorted(present):
            assert store.counts("image")[f"v{number:05}"] == 40
            break
    last = max(acknowledged) + 5
    finish(python(WRITER, killed, 0, last, 40, 0))
    finish(python(WRITER, tmp_path / "whole", 0, last, 40, 0))
    broken, whole = open_store(killed), open_store(tmp_path / "whole")
    assert broken.videos() == whole.videos()
    query = rows(999_999, 1)[0].vectors
    for space in SPACES:
        assert broken.counts(space.name) == whole.counts(space.name)
        ids = [v.id for v in whole.videos()]
        for video_id in (ids[0], ids[len(ids) // 2], ids[-1]):
            a, b = broken.vectors(space.name, video_id), whole.vectors(space.name, video_id)
            assert np.array_equal(a.at, b.at) and np.array_equal(a.vectors, b.vectors)
    a, b = (s.search("image", query, 50, exact=True)[0] for s in (broken, whole))
    assert a.video_ids == b.video_ids and np.array_equal(a.at, b.at) and np.array_equal(a.score, b.score)
    assert broken.sweep() == 0


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_killed_while_bringing_files_in_order(tmp_path: Path) -> None:
    finish(python(WRITER, tmp_path, 0, 12, 500, 0))
    before = open_store(tmp_path)
    counts, videos = before.counts("image"), before.videos()
    code = """
import sys, time
import footage.stores.lance_table as t
from footage.stores import open_store
store = open_store(sys.argv[1])
print("ready", flush=True)
while True:
    t._TAIL_ROWS = t._RETRAIN_GROWTH = 0
    store.refresh()
"""
    for wait in (0.02, 0.1, 0.25, 0.6):
        busy = python(code, tmp_path)
        assert busy.stdout is not None and busy.stdout.readline() == "ready\n"
        time.sleep(wait)
        busy.send_signal(signal.SIGKILL)
        _, errors = busy.communicate(timeout=120)
        assert busy.returncode == -signal.SIGKILL, errors[-2000:]
        store = open_store(tmp_path)
        assert store.counts("image") == counts and store.videos() == videos
        (hits,) = store.search("image", rows(3, 5)[0].vectors[2:3], 5)
        assert hits.video_ids[0] == "v00003" and hits.at[0] == 2.5
        store.refresh()
