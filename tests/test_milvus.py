"""What is particular to Milvus: places, credentials, names, locks, killed writers, servers that are restarted."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from milvus_server import MilvusProcess
from needs import milvus_server
from test_stores import DIM, IMAGE, TEXT, fill, keys, rows, run_python, unit, video

from footage.errors import ConfigError, SpaceMismatch, StoreError, StoreUnavailable
from footage.stores import Store, open_store
from footage.stores.address import Access, Address, parsed
from footage.stores.memory import MemoryStore
from footage.types import Embeddings, Space

pytest.importorskip("pymilvus")

# where a store is


@pytest.mark.parametrize(
    ("uri", "address", "shown"),
    [
        ("", Address("lance"), "lance:"),
        ("lance:", Address("lance"), "lance:"),
        ("lance:/data/x", Address("lance", "/data/x"), "lance:/data/x"),
        ("some/folder", Address("lance", "some/folder"), "lance:some/folder"),
        ("odd: folder", Address("lance", "odd: folder"), "lance:odd: folder"),
        ("milvus:", Address("milvus"), "milvus:"),
        ("milvus:lite", Address("milvus", "lite"), "milvus:lite"),
        ("memory:", Address("memory"), "memory:"),
        ("http://host:19530", Address("server", "http://host:19530"), "http://host:19530"),
        ("http://host", Address("server", "http://host:19530"), "http://host:19530"),
        ("https://host/films/", Address("server", "https://host:443", "films"), "https://host:443/films"),
        ("http://[::1]:1", Address("server", "http://[::1]:1"), "http://[::1]:1"),
    ],
)
def test_places(uri: str, address: Address, shown: str) -> None:
    assert parsed(uri) == address and str(address) == shown
    assert parsed(str(address)) == address


@pytest.mark.parametrize(
    "uri",
    [
        "http://", "http://host:port", "http://host:99999", "http://host/a/b", "http://host/a-b", "http://h/x?y=1",
        "http://h#x", "s3://bucket/x", "milvus://host", "ftp://host", "a\0://b", "http://[::1", "http://h/1db",
    ],
)  # fmt: skip
def test_what_is_no_place(uri: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parsed(uri)
    assert caught.value.hint and caught.value.exit_status == 2


@pytest.mark.parametrize("uri", ["http://root:s3cret@host", "https://s3cret@host:1/x", "http://:s3cret@host:no"])
def test_credentials_are_refused_in_a_uri_and_not_shown(uri: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parsed(uri)
    assert "s3cret" not in caught.value.message + caught.value.hint


def test_a_server_that_is_not_there() -> None:
    access = Access(token="root:s3cret")
    assert "s3cret" not in repr(access)
    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:9") as caught:
        open_store("http://127.0.0.1:9", access=access)
    assert caught.value.hint and caught.value.exit_status == 3
    assert "s3cret" not in str(caught.value.__cause__) + caught.value.message


def test_a_server_that_is_something_else(tmp_path: Path) -> None:
    import http.server

    class Quiet(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with pytest.raises(StoreUnavailable):
            open_store(f"http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("name", ["a-b", "a b", "x" * 41, "ü", "a/b", 'a"b'])
def test_names_of_libraries_that_would_not_do(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError):
        open_store("milvus:", root=tmp_path, name=name)


# either kind of Milvus


@pytest.fixture(params=["lite", "server"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Store]]:
    name = secrets.token_hex(8)
    uri = f"milvus:{tmp_path / 'lite'}"
    if request.param == "server":
        uri = request.getfixturevalue("milvus").uri
    opened: list[Store] = []

    def open_one(**access: object) -> Store:
        opened.append(open_store(uri, name=name, access=Access(**access)))  # type: ignore[arg-type]
        return opened[-1]

    yield open_one
    for store in opened:
        store.close()
    store = open_store(uri, name=name)
    store.erase()
    store.close()


ODD = ['"] or pk > 0 or video in ["', "%", "a\\", "\n", "'", "_61", "日本", "x" * 200, " ", "{}", "video"]


def test_no_name_means_anything_in_an_expression(make: Callable[..., Store]) -> None:
    store = make()
    fill(store, 2)
    store.add([rows(name, 2) for name in ODD])
    store.commit([video(name, 2) for name in ODD])
    for name in ODD:
        assert store.get(name) == video(name, 2)
        assert len(store.vectors("image", name)) == 2
        (hits,) = store.search("image", rows(name, 1).vectors, 9, videos=[name])
        assert hits.video_ids == [name, name]
    store.delete(ODD[:3])
    assert store.counts("image") == {"v0000": 10, "v0001": 10} | dict.fromkeys(ODD[3:], 2)
    with pytest.raises(StoreError, match="too long"):
        store.put(video("ü" * 300, 1), [rows("ü" * 300, 1)])


def test_a_long_video_goes_through_small_requests_and_pages(
    make: Callable[..., Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("footage.stores.milvus.samples._REQUEST_BYTES", 100 * DIM * 4)
    monkeypatch.setattr("footage.stores.milvus.samples._PAGE_BYTES", 64 * DIM * 4)
    monkeypatch.setattr("footage.stores.milvus.samples._HITS", 300)
    monkeypatch.setattr("footage.stores.milvus.collections.PAGE", 256)
    store, truth = make(), MemoryStore()
    for each in (store, truth):
        fill(each, 4, 30)
        each.put(video("long", 333), [rows("long", 333)])
        each.put(video("page", 64), [rows("page", 64)])
    assert np.array_equal(store.vectors("image", "long").vectors, truth.vectors("image", "long").vectors)
    assert len(store.vectors("image", "page")) == 64
    assert store.counts("image") == truth.counts("image")
    queries = unit(np.random.default_rng(1).standard_normal((5, DIM)))
    for k, exact in ((10, True), (200, True), (10, False), (250, False)):
        mine, right = (s.search("image", queries, k, exact=exact) for s in (store, truth))
        for a, b in zip(mine, right, strict=True):
            assert len(a) == len(b) == k and len(set(keys(a)) & set(keys(b))) >= k - 1
    shorter = rows("long", 7, seed=3)
    store.fill([shorter])
    assert store.counts("image")["long"] == 7
    assert np.array_equal(store.vectors("image", "long").vectors, shorter.vectors)


def test_the_index_finds_what_memory_finds(make: Callable[..., Store]) -> None:
    store, truth = make(), MemoryStore()
    vectors, at = unit(np.random.default_rng(0).standard_normal((6000, DIM))), np.arange(50.0)
    for each in (store, truth):
        each.create_space(IMAGE)
        each.add([Embeddings("image", f"v{i}", at, at + 1, at, vectors[50 * i : 50 * i + 50]) for i in range(120)])
        each.commit([video(f"v{i}", 50) for i in range(120)])
        each.refresh()
    queries = unit(vectors[::400] + 0.02 * np.random.default_rng(5).standard_normal((15, DIM)))
    some = [f"v{i}" for i in range(0, 120, 7)]
    for k, videos in ((10, None), (200, None), (10, some), (3000, None), (40, ["v3"])):
        found, right = (s.search("image", queries, k, videos=videos) for s in (store, truth))
        assert [len(h) for h in found] == [len(h) for h in right]
        share = [len(set(keys(a)) & set(keys(b))) / len(b) for a, b in zip(found, right, strict=True)]
        assert np.mean(share) >= 0.97, (k, videos, share)


def test_a_summary_is_the_mean_of_the_samples(make: Callable[..., Store]) -> None:
    store = make()
    fill(store, 2)
    moved = video("v0001", warning="moved")
    store.commit([moved])  # without its samples: the summary stays
    found = {row["key"]: row["summary"] for row in store._ledger.query('key in ["vv0000", "vv0001"]', ["summary"])}  # type: ignore[attr-defined]
    for name in ("v0000", "v0001"):
        mean = rows(name).vectors.mean(axis=0)
        assert np.allclose(found["v" + name][:DIM], mean / np.linalg.norm(mean), atol=1e-5)


def test_an_index_may_be_chosen(make: Callable[..., Store]) -> None:
    for index in ("IVF_SQ8", "FLAT", "IVF_FLAT"):
        store = make(index=index)
        fill(store, 3)
        store.refresh()
        assert store._ledger.current().place("image").index == index  # type: ignore[attr-defined]
        assert store.search("image", rows("v0001").vectors[:1], 3)[0].video_ids[0] == "v0001"
        store.erase()
    for index in ("NONE", "HNSW_SQ", "IVF_RABITQ"):  # the last two want a newer server
        with pytest.raises(ConfigError, match=index) as caught:
            make(index=index).create_space(TEXT)
        assert caught.value.hint


def test_two_libraries_share_a_place(make: Callable[..., Store], request: pytest.FixtureRequest) -> None:
    one = make()
    uri = f"milvus:{one.link.folder}" if one.link.folder else one.link.shown  # type: ignore[attr-defined]
    other = open_store(uri, name="other" + secrets.token_hex(4))
    try:
        fill(one, 2)
        fill(other, 1)
        other.create_space(TEXT)
        assert one.spaces() == [IMAGE] and other.spaces() == [IMAGE, TEXT]
        assert len(one.videos()) == 2 and len(other.videos()) == 1
        one.sweep()
        one.erase()
        assert other.counts("image") == {"v0000": 10} and one.spaces() == []
    finally:
        other.erase()
        other.close()


def test_another_format(make: Callable[..., Store], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("footage.stores.milvus.tables.FORMAT", 99)
    store = make()
    fill(store, 1)
    monkeypatch.undo()
    with pytest.raises(SpaceMismatch, match="format 99"):
        make()
    store.erase()


def test_a_space_that_was_not_finished_is_swept(make: Callable[..., Store]) -> None:
    """As a process leaves it that was killed between making a collection and making it known."""
    store = make()
    fill(store, 1)
    place = store._ledger.current().place("image")  # type: ignore[attr-defined]
    orphan = place.collection[:-8] + "deadbeef"
    store._collections.create(orphan, "vector", "HNSW", dim=8)  # type: ignore[attr-defined]
    assert make().sweep() == 0
    assert orphan not in store.link.call("list_collections")  # type: ignore[attr-defined]
    assert store.counts("image") == {"v0000": 10}


def test_a_content_with_more_paths_than_fit(make: Callable[..., Store]) -> None:
    from footage.types import MediaFile

    store = make()
    files = tuple(MediaFile(f"/films/{'x' * 90}{i:05}.mp4", 1, 1) for i in range(900))
    with pytest.raises(StoreError, match="900 paths"):
        store.commit([video("v", files=files)])
    store.commit([video("v", files=files[:300])])
    assert store.get("v") == video("v", files=files[:300])


WRITER = """
import sys, time
from footage.stores import open_store
from test_stores import *
store = open_store(sys.argv[1], name=sys.argv[2])
store.create_space(IMAGE)
store.sweep()
new = 0
for i in range(int(sys.argv[3])):
    name = f"v{i:04}"
    if store.get(name) is None:
        store.add([rows(name, 60)])
        store.counts("image")  # writes what was held back
        rest = rows(name, 90)
        store.add([Embeddings("image", name, rest.start[60:], rest.end[60:], rest.at[60:], rest.vectors[60:])])
        store.commit([video(name, 90)])
        print(i, flush=True)
        new += 1
        time.sleep(300 * (new == 10 and sys.argv[4:] == ["killed"]))  # not more before whoever kills it comes
store.close()
"""


def writer(*args: object) -> subprocess.Popen[str]:
    here = Path(__file__).parent
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(here.parent), str(here)])}
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, *map(str, args)],
        env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
@pytest.mark.parametrize("kind", ["lite", "server"])
def test_killed_writers_lose_nothing(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    uri = f"milvus:{tmp_path / 'lite'}" if kind == "lite" else request.getfixturevalue("milvus").uri
    name, acknowledged, waits = secrets.token_hex(8), set[str](), np.random.default_rng(2)
    for kill in range(3):
        process = writer(uri, name, 200, "killed")
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(1 + int(waits.integers(4)))]
        time.sleep(float(waits.random()) * 0.2)
        process.send_signal(signal.SIGKILL)
        rest, errors = process.communicate(timeout=300)
        assert process.returncode == -signal.SIGKILL, errors[-2000:]
        acknowledged |= {f"v{int(line):04}" for line in [*lines, *rest.splitlines()] if line.strip()}
        store = open_store(uri, name=name)
        present = {v.id for v in store.videos()}
        assert acknowledged <= present, f"lost after kill {kill}"
        for each in present:
            assert np.array_equal(store.vectors("image", each).vectors, _two_parts(each))
        assert store.search("image", rows("q", 1).vectors, 10_000)[0].video_ids.__len__() == 90 * len(present)
        store.close()
    process = writer(uri, name, len(acknowledged) + 2)
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors[-2000:]
    store = open_store(uri, name=name)
    assert set(store.counts("image").values()) == {90} and store.counts("image").keys() == {
        v.id for v in store.videos()
    }
    assert store.sweep() == 0
    store.erase()
    store.close()


def _two_parts(name: str) -> np.ndarray:
    return np.concatenate([rows(name, 60).vectors, rows(name, 90).vectors[60:]])


# Milvus Lite


def test_a_second_process_is_told(tmp_path: Path) -> None:
    store = open_store("milvus:lite", root=tmp_path)
    fill(store, 1)
    code = """
import sys
from test_stores import *
from footage.errors import StoreUnavailable
try:
    open_store("milvus:lite", root=sys.argv[1])
except StoreUnavailable as error:
    assert "another process" in error.message and error.hint, error.message
else:
    raise SystemExit("it was opened")
"""
    done = run_python(code, tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    store.close()
    done = run_python("import sys\nfrom test_stores import *\nopen_store('milvus:lite', root=sys.argv[1])", tmp_path)
    assert done.returncode == 0, f"the lock was not released: {done.stderr[-2000:]}"


def test_the_lock_is_held_until_the_last_store_is_closed(tmp_path: Path) -> None:
    first, second = (open_store("milvus:", root=tmp_path) for _ in range(2))
    fill(first, 1)
    first.close()
    assert len(second.videos()) == 1
    second.close()
    third = open_store("milvus:", root=tmp_path)
    assert len(third.videos()) == 1
    third.close()


@pytest.mark.parametrize("damage", ["cut", "empty", "noise"])
def test_a_broken_index_file_is_made_anew(tmp_path: Path, damage: str) -> None:
    store = open_store("milvus:", root=tmp_path)
    fill(store, 20, 100)
    store.refresh()
    store.close()
    files = list(tmp_path.rglob("*.idx"))
    assert files, "Milvus Lite wrote no index"
    for file in files:
        data = file.read_bytes()
        noise = np.random.default_rng(0).bytes(len(data))
        file.write_bytes({"cut": data[: len(data) // 2], "empty": b"", "noise": noise}[damage])
    store = open_store("milvus:", root=tmp_path)
    (hits,) = store.search("image", rows("v0007", 100).vectors[:1], 1)
    assert keys(hits) == [("v0007", 0.25)] and len(store.videos()) == 20
    store.close()


def test_a_file_where_lite_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("hello")
    with pytest.raises(StoreError) as caught:
        open_store("milvus:file", root=tmp_path)
    assert caught.value.hint


def test_nothing_of_lite_comes_on_stderr(tmp_path: Path) -> None:
    code = """
import sys
from test_stores import *
store = open_store("milvus:", root=sys.argv[1])
fill(store, 1)
try:
    store.link.call("query", "no_such_collection", filter="")
except StoreError:
    pass
store.close()
"""
    done = run_python(code, tmp_path)
    assert done.returncode == 0 and done.stderr == "", done.stderr


# the server


def test_another_process_sees_a_commit(milvus: MilvusProcess) -> None:
    """A reader that has been open for long asks for what is some seconds old; one that opens gets everything."""
    name = secrets.token_hex(8)
    reader = open_store(milvus.uri, name=name)
    assert reader.videos() == []
    done = run_python(
        "import sys\nfrom test_stores import *\ns = open_store(sys.argv[1], name=sys.argv[2])\nfill(s, 3)\ns.close()",
        milvus.uri, name,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    anew = open_store(milvus.uri, name=name)
    assert len(anew.videos()) == 3 and len(anew.search("image", rows("q", 1).vectors, 100)[0]) == 30
    anew.close()
    until = time.monotonic() + 120
    while len(reader.videos()) < 3 and time.monotonic() < until:
        time.sleep(0.2)
    (hits,) = reader.search("image", rows("q", 1).vectors, 100)
    assert len(reader.videos()) == 3 and len(hits) == 30, "a video that is visible is there with all its samples"
    reader.erase()
    reader.close()


def test_a_space_that_another_process_made_anew(milvus: MilvusProcess) -> None:
    name = secrets.token_hex(8)
    other = open_store(milvus.uri, name=name)
    fill(other, 1)
    reader = open_store(milvus.uri, name=name)  # after it: one that is open for long may be some seconds behind
    query = rows("v0000", 1).vectors
    assert len(reader.search("image", query, 20)[0]) == 10
    other.drop_space("image")
    with pytest.raises(SpaceMismatch, match="no space 'image'"):
        reader.search("image", query, 3)
    with pytest.raises(SpaceMismatch, match="no space 'image'"):
        reader.vectors("image", "v0000")
    other.create_space(Space("image", 8))
    other.fill([rows("v0000", 4, Space("image", 8))])
    until = time.monotonic() + 120
    while not (reader.spaces() and len(reader.vectors("image", "v0000"))) and time.monotonic() < until:
        time.sleep(0.2)
    assert len(reader.vectors("image", "v0000")) == 4
    with pytest.raises(SpaceMismatch, match="8"):
        reader.search("image", query, 3)
    other.erase()
    for store in (reader, other):
        store.close()


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_server_is_restarted_in_the_middle(
    tmp_path_factory: pytest.TempPathFactory, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("footage.stores.milvus.link._PATIENCE", 300.0)  # a busy machine takes long to start it
    server = milvus_server(tmp_path_factory.mktemp("restarted"))
    try:
        store = open_store(server.uri)
        fill(store, 5)
        query = rows("q", 1).vectors
        before = keys(store.search("image", query, 7)[0])
        store.add([rows("during")])
        server.tell(how)
        again = threading.Timer(2.0, server.tell, args=["start"])
        again.start()
        store.commit([video("during")])  # waits for it
        again.join()
        assert store.counts("image") == {f"v{i:04}": 10 for i in range(5)} | {"during": 10}
        assert keys(store.search("image", query, 7, videos=[f"v{i:04}" for i in range(5)])[0]) == before
        assert store.sweep() == 0
        store.close()
    finally:
        server.close()


@pytest.mark.skipif(sys.platform != "linux", reason="the server is for Linux")
def test_a_killed_run_of_the_tests_leaves_no_server(milvus: MilvusProcess, tmp_path: Path) -> None:
    """Neither if it is killed alone, nor with the relay that would end the server."""
    import psutil

    code = """
import sys
from pathlib import Path
import psutil
from milvus_server import MilvusProcess
server = MilvusProcess(Path(sys.argv[1]))
print(*[process.pid for process in psutil.Process().children(recursive=True)], flush=True)
sys.stdin.read()
"""
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    for i, alone in enumerate((True, False)):
        command = [sys.executable, "-c", code, str(tmp_path / str(i))]
        runner = subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started = [psutil.Process(int(pid)) for pid in line(runner).split()]
        assert [process.name() for process in started][-1] == "milvus" and len(started) == 2
        for process in [psutil.Process(runner.pid), *([] if alone else started[:1])]:
            process.kill()
        runner.communicate(timeout=60)
        _, alive = psutil.wait_procs(started, timeout=60)
        assert alive == []


# one writer


HOLDER = """
import sys
import footage.stores.milvus.lease as lease
from footage.errors import StoreUnavailable
from test_stores import *
lease._BEAT, lease._DEAD, lease._UNSURE = map(float, sys.argv[3:6])
store = open_store(sys.argv[1], name=sys.argv[2])
try:
    with store.writing():
        print("held", flush=True)
        sys.stdin.readline()
        if IMAGE in store.spaces():
            store.put(video("late"), [rows("late")])
        print("written", flush=True)
except StoreUnavailable as error:
    print(error.message, flush=True)
store.close()
"""
QUICK = (1.0, 6.0, 3.0)
ALIVE = (1.0, 120.0, 60.0)  # nobody is taken for dead, if the machine halts


def holder(milvus: MilvusProcess, name: str, *seconds: float) -> subprocess.Popen[str]:
    here = Path(__file__).parent
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(here.parent), str(here)])}
    return subprocess.Popen(
        [sys.executable, "-c", HOLDER, milvus.uri, name, *map(str, seconds)],
        env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def go_on(process: subprocess.Popen[str]) -> str:
    """Let it write, and wait for its end."""
    return process.communicate("go on\n", timeout=300)[0].strip()


@pytest.fixture
def place(milvus: MilvusProcess) -> Iterator[str]:
    """The name of a library on the server that has something."""
    name = secrets.token_hex(8)
    store = open_store(milvus.uri, name=name)
    fill(store, 2)
    yield name
    store.erase()
    store.close()


def test_a_second_writer_is_refused_while_everybody_reads(milvus: MilvusProcess, place: str) -> None:
    first = holder(milvus, place, *ALIVE)
    assert line(first) == "held"
    second = open_store(milvus.uri, name=place)
    second.add([rows("pending")])
    with pytest.raises(StoreUnavailable, match="another process is writing") as caught, second.writing():
        pass
    assert caught.value.hint and caught.value.exit_status == 3
    assert len(second.videos()) == 2 and len(second.search("image", rows("q", 1).vectors, 100)[0]) == 20
    assert go_on(first) == "written"
    with second.writing():
        assert second.sweep() == 10
        second.put(video("next"), [rows("next")])
    with second.writing():
        pass
    assert {v.id for v in open_store(milvus.uri, name=place).videos()} == {"v0000", "v0001", "late", "next"}
    second.close()


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_killed_writer_frees_the_library(milvus: MilvusProcess, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from footage.stores.milvus import lease

    first = holder(milvus, place, lease._BEAT, lease._DEAD, lease._UNSURE)
    assert line(first) == "held"
    first.send_signal(signal.SIGKILL)
    first.wait(60)
    second = open_store(milvus.uri, name=place)
    started = time.monotonic()
    with second.writing():
        waited = time.monotonic() - started
        assert lease._DEAD <= waited < lease._DEAD + 120
        second.put(video("next"), [rows("next")])
    waits: list[float] = []
    clock = SimpleNamespace(time=time.time, monotonic=time.monotonic, sleep=waits.append)
    monkeypatch.setattr(lease, "time", clock)
    with second.writing():
        assert waits == [], "what the dead one left is gone"
    second.close()


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGSTOP")
def test_who_was_taken_for_dead_writes_no_more(milvus: MilvusProcess, place: str) -> None:
    first = holder(milvus, place, *QUICK)
    assert line(first) == "held"
    first.send_signal(signal.SIGSTOP)  # as a machine that sleeps
    second = holder(milvus, place, *QUICK)
    assert line(second) == "held"
    first.send_signal(signal.SIGCONT)
    assert "silent for too long" in go_on(first)
    assert go_on(second) == "written"


def test_of_two_that_ask_at_once_one_goes_on(milvus: MilvusProcess, place: str) -> None:
    both = [holder(milvus, place, *ALIVE) for _ in range(2)]
    told = [line(process) for process in both]
    assert sorted(told)[1] == "held" and "another process is writing" in sorted(told)[0]
    assert "written" in [go_on(process) for process in both]


def test_another_copy_of_a_library_is_not_written_to(tmp_path: Path, milvus: MilvusProcess) -> None:
    """As on another machine: a directory of its own, and the same vectors."""
    import shutil

    from clips import clip, library, run

    clip(tmp_path / "films" / "a.mp4", 1)
    with library(tmp_path / "one") as lib:
        run(lib, tmp_path / "films", store=milvus.uri)
        shutil.copytree(lib.path, tmp_path / "two")
        assert lib.stamp is not None
        first = holder(milvus, lib.stamp.store_id, *ALIVE)
        assert line(first) == "held"
        command = [
            sys.executable,
            "-m",
            "footage",
            "index",
            str(tmp_path / "films"),
            "--library",
            str(tmp_path / "two"),
        ]
        env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 3 and "another process is writing to the library at http" in done.stderr, done.stderr
        for write in (lambda: lib.remove(lib.videos()[0].id), lambda: lib.doctor(repair=True)):
            with pytest.raises(StoreUnavailable):
                write()
        assert lib.search("red", k=1) and lib.doctor() == []
        assert go_on(first) == "written"
        lib.migrate("lance:", drop_old=True)


@pytest.mark.parametrize("kind", ["lite", "server"])
def test_footage_serve_over_milvus(tmp_path: Path, kind: str, request: pytest.FixtureRequest) -> None:
    """A real server process searches, indexes, and finds what it indexed."""
    pytest.importorskip("playwright")
    httpx = pytest.importorskip("httpx")
    from browsing import command
    from clips import clip, library, run

    uri = "milvus:" if kind == "lite" else request.getfixturevalue("milvus").uri
    films = tmp_path / "films"
    clip(films / "a.mp4", 1, 2)
    with library(tmp_path / "library") as lib:
        run(lib, films, store=uri)
        right = [(moment.video.id, moment.at) for moment in lib.search("red", k=3)]
    clip(films / "b.mp4", 3)
    with command(tmp_path / "library", "--allow-dir", films) as url, httpx.Client(base_url=url, timeout=300) as client:
        query = {"parts": [{"kind": "text", "value": "red"}], "k": 3}
        for _ in range(4):  # from the store first, then from memory
            moments = client.post("/api/v1/search", json=query).raise_for_status().json()["moments"]
            assert [(moment["video"], moment["at"]) for moment in moments] == right
        job = client.post("/api/v1/index", json={"folders": [str(films)]}).raise_for_status().json()["id"]
        until = time.monotonic() + 600
        while (state := client.get(f"/api/v1/jobs/{job}").json()["state"]) != "done":
            assert state in ("queued", "running")
            assert time.monotonic() < until, f"{state} after 600 s"
            time.sleep(0.2)
        found = client.post("/api/v1/search", json={**query, "k": 9}).raise_for_status().json()["moments"]
        assert len({moment["video"] for moment in found}) == 2
    with library(tmp_path / "library") as lib:
        lib.migrate("lance:", drop_old=True)


def test_dimensions_that_a_server_would_refuse(make: Callable[..., Store]) -> None:
    store = make()
    thin = Space("thin", 1)
    store.create_space(thin)
    at = np.arange(3.0)
    store.put(video("v", 3), [Embeddings("thin", "v", at, at + 1, at, np.array([[1], [-1], [0]], np.float32))])
    (hits,) = store.search("thin", np.array([[2]], np.float32), 3)
    assert hits.at.tolist() == [0, 2, 1] and hits.score.tolist() == [1, 0, -1]
    assert store.sample_vectors("thin", 5).shape == (3, 1) and store.vectors("thin", "v").vectors.shape == (3, 1)
