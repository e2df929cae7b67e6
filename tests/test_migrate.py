"""A library moves between stores: what arrives, what goes on meanwhile, and what an interruption leaves."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from clips import clip, library, run, whole
from milvus_server import MilvusProcess
from test_stores import IMAGE, TEXT, fill, rows, video
from test_texts import text

from footage import migrate as moving
from footage.config import Settings, load
from footage.errors import ConfigError, NotIndexed, SpaceMismatch, StoreError, StoreUnavailable
from footage.library import Library
from footage.stores import Store, open_store
from footage.stores.milvus import indexes
from footage.stores.milvus.link import Able

pytest.importorskip("milvus_lite")


def filled(store: Store) -> Store:
    fill(store, 5)
    store.create_space(TEXT)
    store.fill([rows(f"v{i:04}", space=TEXT) for i in range(4)])  # a model that was being filled
    store.commit([video("empty", 0)])
    store.put_texts([text("a dog on the beach", 1), text("狗在海滩上", 3), text("BEACH", 1, "v0003", "ocr")])
    return store


def quiet(_done: int, _of: int) -> None:
    pass


PLACES: dict[str, Callable[[Path], Store]] = {
    "memory": lambda _: open_store("memory:"),
    "lance": lambda root: open_store(f"lance:{root / 'lance'}"),
    "lite": lambda root: open_store(f"milvus:{root / 'lite'}"),
}


@pytest.mark.parametrize("target", PLACES)
@pytest.mark.parametrize("source", PLACES)
def test_a_copy_is_the_same(tmp_path: Path, source: str, target: str) -> None:
    one, other = filled(PLACES[source](tmp_path / "one")), PLACES[target](tmp_path / "other")
    told: list[tuple[int, int]] = []
    assert moving.copy(one, other, lambda done, of: told.append((done, of))) == 6
    assert told[0] == (0, 6) and told[-1] == (6, 6)
    assert moving.verify(one, other) == (90, 3, 90)
    assert [hit.text for hit in other.search_texts("beach", 9)] == [hit.text for hit in one.search_texts("beach", 9)]
    assert other.spaces() == [IMAGE, TEXT] and other.videos() == one.videos()
    assert moving.copy(one, other, quiet) == 0
    one.close()
    other.close()


def test_a_copy_goes_on_and_follows_what_changed(tmp_path: Path) -> None:
    source, target = filled(open_store("memory:")), open_store(tmp_path / "target")
    moving.copy(source, target, quiet)
    target.add([rows("half", 3)])  # as a killed run leaves it
    target.counts("image")
    source.delete(["v0000"])
    source.commit([replace(video("v0001"), warning="looked at again")])
    source.fill([rows("v0004", space=TEXT)])
    source.put_texts([text("other words", 1, "v0002")])
    target.delete(["v0003"])
    assert moving.copy(source, target, quiet) == 4
    source.put_texts([text("words of today", 1, "v0002")])
    assert moving.copy(source, target, quiet) == 1, "as many texts, and others"
    moving.verify(source, target)
    assert target.counts("image").keys() == {"v0001", "v0002", "v0003", "v0004"}
    source.drop_space("text")
    assert moving.copy(source, target, quiet) == 0
    assert target.spaces() == [IMAGE]


def test_a_wrong_copy_is_told(tmp_path: Path) -> None:
    def spoilt(change: Callable[[Store], object], what: str) -> None:
        source, target = filled(open_store("memory:")), open_store("memory:")
        moving.copy(source, target, quiet)
        change(target)
        with pytest.raises(StoreError, match=what) as caught:
            moving.verify(source, target)
        assert "migration.json" in caught.value.hint

    spoilt(lambda s: s.delete(["v0002"]), "other videos")
    spoilt(lambda s: s.drop_space("text"), "other spaces")
    spoilt(lambda s: s.fill([rows("v0003", 9, TEXT)]), "1 videos have other samples")
    spoilt(lambda s: s.fill([rows("v0003", 10, TEXT, seed=4)]), "differ in the copy, in text: /films/v0003")
    spoilt(lambda s: s.put_texts([], of=[("v0003", "ocr")]), "1 videos have other texts")
    spoilt(
        lambda s: s.put_texts([text("beech", 1, "v0003", "ocr")]), "texts of a video differ in the copy: /films/v0003"
    )
    moved = replace(rows("v0001"), at=rows("v0001").at + 0.001)
    spoilt(lambda s: s.fill([moved]), "differ in the copy, in image")


@pytest.fixture
def lib(tmp_path: Path) -> Library:
    clip(tmp_path / "films" / "a.mp4", 1, 2)
    clip(tmp_path / "films" / "b.mp4", 3)
    with library(tmp_path / "library") as opened:
        run(opened, tmp_path / "films")
    return library(tmp_path / "library")


def answers(lib: Library) -> list[tuple[str, float, float]]:
    found = lib.search("red", k=5)
    return [(m.video.id, round(m.at, 3), round(m.strength, 2)) for m in found]


def test_a_library_goes_round(lib: Library, tmp_path: Path) -> None:
    before, videos = answers(lib), lib.videos()
    other = library(lib.path)  # as a server has it open meanwhile
    assert answers(other) == before
    for to, kept in (("milvus:", "store"), ("milvus:elsewhere", "milvus"), ("lance:again", "elsewhere")):
        done = lib.migrate(to)
        assert (done.videos, done.copied, done.dropped) == (2, 2, False) and done.compared == done.samples > 0
        assert lib.stamp is not None and lib.stamp.store == to == done.target
        assert (lib.path / kept).is_dir(), "the old store is kept"
        for each in (lib, other):
            assert each.videos() == videos and answers(each) == before
        whole(lib)
        assert not (lib.path / "migration.json").exists()
    done = lib.migrate("lance:last", drop_old=True)
    assert done.dropped and not (lib.path / "again").exists()
    assert answers(lib) == answers(other) == before
    lib.close()
    other.close()
    with library(lib.path) as again:
        assert answers(again) == before
        assert run(again, tmp_path / "films")["a.mp4"].status == "unchanged"
        clip(tmp_path / "films" / "c.mp4", 4)
        assert run(again, tmp_path / "films")["c.mp4"].status == "indexed"
        whole(again)


def test_a_library_on_a_server(tmp_path: Path, milvus: MilvusProcess) -> None:
    """Made there, used by two directories that are the same library, moved to another index there, and away."""
    clip(tmp_path / "films" / "a.mp4", 1, 2)
    with library(tmp_path / "library") as lib:
        lib.settings = Settings(store_token="root:s3cret")  # the server of the tests asks for none
        assert run(lib, tmp_path / "films", store=milvus.uri)["a.mp4"].status == "indexed"
        before = answers(lib)
        whole(lib)
        assert lib.stamp is not None and lib.stamp.store == milvus.uri
        shutil.copytree(lib.path, tmp_path / "copy")
        with library(tmp_path / "copy") as copy:
            assert answers(copy) == before and copy.videos() == lib.videos()
        with pytest.raises(SpaceMismatch, match="vectors are in"):
            lib.index(tmp_path / "films", store="milvus:")
        first = lib.stamp.store_id
        lib.settings = Settings(store_index="IVF_SQ8")
        lib.migrate(milvus.uri, drop_old=True)
        assert lib.stamp.store == milvus.uri and lib.stamp.store_id != first and answers(lib) == before
        lib.remove(lib.videos()[0].id)
        assert lib.videos() == []
        lib.migrate("lance:", drop_old=True)
        assert json.loads((lib.path / "library.json").read_text())["format"] == 1
        for file in lib.path.rglob("*"):
            assert not file.is_file() or b"s3cret" not in file.read_bytes()
    left = open_store(milvus.uri, name=first)
    assert left.spaces() == []
    left.close()


def test_an_index_that_was_outgrown(tmp_path: Path, milvus: MilvusProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """The doctor says so, and moving the library to the same server has it made anew."""
    clip(tmp_path / "films" / "a.mp4", 1, 2)
    with library(tmp_path / "library") as lib:
        run(lib, tmp_path / "films", store=milvus.uri)
        spaces = {space.name for space in lib._opened().spaces()}
        assert lib.doctor() == []
        monkeypatch.setattr(indexes, "MANY", 2)  # rows, in the place of a million
        found = lib.doctor(repair=True)
        assert {(f.problem, f.what, f.harmless, f.mended) for f in found} == {("index", s, True, False) for s in spaces}
        assert all("by now, for which IVF_SQ8 is the index" in f.message for f in found)
        lib.migrate(milvus.uri, drop_old=True)
        assert lib.doctor() == []
        lib.migrate("lance:", drop_old=True)
        assert lib.doctor() == [], "Lance makes its own anew as it grows"


@pytest.mark.parametrize(
    ("version", "index", "rows", "wanted", "better"),
    [
        ((2, 3), "HNSW", 999_999, "", ""),
        ((2, 3), "HNSW", 1_000_000, "", "IVF_SQ8"),
        ((2, 3), "HNSW", 1_000_000, "hnsw", ""),  # the user's own choice
        ((2, 3), "IVF_SQ8", 20_000_000, "", "DISKANN"),
        ((2, 6), "HNSW_SQ", 4_999_999, "", ""),
        ((2, 6), "HNSW_SQ", 5_000_000, "", "IVF_RABITQ"),
    ],
)
def test_the_index_that_many_rows_want(
    version: tuple[int, int], index: str, rows: int, wanted: str, better: str
) -> None:
    assert indexes.better(Able(False, version), index, rows, wanted) == better
    assert indexes.better(Able(True, version), index, rows, wanted) == "", "Milvus Lite has one kind"


def test_what_cannot_be_moved(lib: Library, tmp_path: Path) -> None:
    before = (lib.path / "library.json").read_bytes()
    with pytest.raises(NotIndexed):
        Library.open(tmp_path / "none").migrate("milvus:")
    for to in ("lance:", "store", str(lib.path / "store"), "memory:", "s3://bucket", "http://root:s3cret@host"):
        with pytest.raises(ConfigError) as caught:
            lib.migrate(to)
        assert caught.value.hint and "s3cret" not in caught.value.message
    with pytest.raises(StoreUnavailable):
        lib.migrate("http://127.0.0.1:9")
    occupied = open_store(tmp_path / "occupied")
    fill(occupied, 1)
    with pytest.raises(ConfigError, match="holds a library already"):
        lib.migrate(str(tmp_path / "occupied"))
    assert len(occupied.videos()) == 1
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError):
        lib.migrate(f"milvus:{tmp_path / 'file'}")
    assert (lib.path / "library.json").read_bytes() == before and not (lib.path / "migration.json").exists()
    whole(lib)
    lib.close()


def test_another_dimension_in_the_target(tmp_path: Path) -> None:
    source, target = open_store("memory:"), open_store("memory:")
    fill(source, 1)
    target.create_space(replace(IMAGE, dim=7))
    with pytest.raises(SpaceMismatch, match="7 dimensions"):
        moving.check_fits(source, target)


def test_texts_stay_where_they_can_be_searched(lib: Library, milvus: MilvusProcess) -> None:
    name = lib.videos()[0].id
    lib.put_texts(name, [text("a dog on the beach", 1, name)])
    with pytest.raises(ConfigError, match="no full text search") as caught:
        lib.migrate(milvus.uri)
    assert caught.value.hint and lib.stamp is not None and lib.stamp.store == ""
    done = lib.migrate("milvus:")
    assert done.texts == 1 and [hit.text.start for hit in lib.search_texts("dogs")] == [1]
    lib.close()


def many(lib: Library, n: int) -> None:
    """Rows of videos that need no files: a migration does not look at them."""
    store = lib._opened()
    spaces = store.spaces()
    videos = [video(f"{i:032x}", 6) for i in range(n)]
    store.add([rows(v.id, 6, space) for v in videos for space in spaces])
    store.commit(videos)


MOVER = """
import sys, time
from footage import migrate as moving
from footage.library import Library
moving._BATCH_VIDEOS = 4
times = 0
def told(done, of):
    global times
    print(done, flush=True)
    times += 1
    if times == 3 and sys.argv[3:] == ["hold"]:
        time.sleep(300)  # whoever reads this comes to kill it
with Library.open(sys.argv[1]) as lib:
    done = lib.migrate(sys.argv[2], on_progress=told)
print("copied", done.copied, flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
@pytest.mark.parametrize("kind", ["lance", "lite", "server"])
def test_a_killed_migration_goes_on(lib: Library, tmp_path: Path, kind: str, request: pytest.FixtureRequest) -> None:
    to = {"lance": "lance:other", "lite": "milvus:"}.get(kind) or request.getfixturevalue("milvus").uri
    many(lib, 40)
    before = answers(lib)
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-c", MOVER, str(lib.path), to]
    done = 0
    for _ in range(2):
        mover = subprocess.Popen([*command, "hold"], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert mover.stdout is not None
        lines = [int(mover.stdout.readline() or mover.communicate()[1]) for _ in range(3)]
        mover.send_signal(signal.SIGKILL)
        mover.communicate(timeout=300)
        assert lines[0] >= done, "what was copied is not copied again"
        done = lines[-1]
        assert lib.stamp is not None and lib.stamp.store == "" and answers(lib) == before
    finished = subprocess.run(command, env=env, capture_output=True, text=True, timeout=600, check=False)
    assert finished.returncode == 0, finished.stderr[-2000:]
    copied = int(finished.stdout.split()[-1])
    assert 0 < copied <= 42 - done
    assert lib.stamp.store == to and answers(lib) == before and len(lib.videos()) == 42
    for space in lib._opened().spaces():
        assert set(lib._opened().counts(space.name)) == {v.id for v in lib.videos()}
    lib.migrate("lance:home", drop_old=True)
    lib.close()


@pytest.mark.parametrize("kind", ["lance", "lite", "server"])
def test_what_was_begun_elsewhere_is_not_forgotten(lib: Library, kind: str, request: pytest.FixtureRequest) -> None:
    to = {"lance": "lance:other", "lite": "milvus:"}.get(kind) or request.getfixturevalue("milvus").uri

    def interrupted(done: int, _: int) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lib.migrate(to, on_progress=interrupted)
    note = (lib.path / "migration.json").read_bytes()
    with pytest.raises(ConfigError, match=f"being moved to {to}, and what is there would be forgotten") as caught:
        lib.migrate("lance:elsewhere")
    assert f"footage migrate {lib.path} {to}" in caught.value.hint and "migration.json" in caught.value.hint
    assert (lib.path / "migration.json").read_bytes() == note and not (lib.path / "elsewhere").exists()
    lib.migrate(to)
    lib.migrate("lance:elsewhere", drop_old=True)
    lib.close()


def test_what_was_begun_where_nobody_answers(lib: Library) -> None:
    note = {"to": "http://127.0.0.1:9", "id": "00", "from": ["", ""]}
    (lib.path / "migration.json").write_text(json.dumps(note))
    with pytest.raises(ConfigError, match=r"being moved to http://127\.0\.0\.1:9"):
        lib.migrate("lance:elsewhere")
    (lib.path / "migration.json").unlink()
    lib.migrate("lance:elsewhere")
    lib.close()


def test_what_was_begun_and_holds_nothing_is_forgotten(lib: Library) -> None:
    (lib.path / "migration.json").write_text(json.dumps({"to": "lance:empty", "id": "", "from": ["", ""]}))
    lib.migrate("milvus:")
    assert not (lib.path / "migration.json").exists() and not (lib.path / "empty").exists()
    lib.close()


@pytest.mark.skipif(sys.platform == "win32", reason="a limit that Windows does not know")
@pytest.mark.parametrize("to", ["lance:other", "milvus:"])
def test_a_full_disk_is_told_and_the_library_stays(lib: Library, to: str) -> None:
    many(lib, 40)
    code = """
import resource, signal, sys
from footage.errors import StoreError
from footage.library import Library
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with Library.open(sys.argv[1]) as lib:
    lib.videos()
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
    try:
        lib.migrate(sys.argv[2])
    except StoreError as error:
        assert error.hint, error.message
        print(error.message)
    else:
        raise SystemExit("it was written")
"""
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", code, str(lib.path), to],
        env=env,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert lib.stamp is not None and lib.stamp.store == "" and len(lib.videos()) == 42
    assert lib.migrate(to).videos == 42
    lib.close()


def test_the_command(lib: Library, tmp_path: Path) -> None:
    lib.close()

    def footage(*arguments: object) -> subprocess.CompletedProcess[str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("FOOTAGE_")}
        env = kept | {"PYTHONPATH": str(Path(__file__).parents[1])}
        command = [sys.executable, "-m", "footage", *map(str, arguments)]
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=600, check=False)

    done = footage("migrate", lib.path, "milvus:")
    assert done.returncode == 0, done.stderr
    assert "2 videos" in done.stdout and "milvus: now" in done.stdout and "lance: is kept" in done.stderr
    wrong = footage("migrate", "lance:", "lance:x", "--library", lib.path)
    assert wrong.returncode == 2 and "vectors are in milvus:, not in lance:" in wrong.stderr
    twice = footage("migrate", lib.path, "lance:x", "--library", lib.path)
    assert twice.returncode == 2 and "two libraries" in twice.stderr
    away = footage("migrate", lib.path, "http://127.0.0.1:9")
    assert away.returncode == 3 and "hint: is the server running" in away.stderr
    back = footage("migrate", "milvus:", "lance:x", "--library", lib.path, "--drop-old", "--json")
    assert back.returncode == 0, back.stderr
    told = json.loads(back.stdout)
    assert told["source"] == "milvus:" and told["target"] == "lance:x" and told["dropped"] is True
    assert footage("doctor", "--library", lib.path).stdout.count("lance:x") == 1


def test_settings_of_the_store(tmp_path: Path) -> None:
    file = tmp_path / "footage.toml"
    file.write_text('store = "milvus:"\nstore_token = "root:s3cret"\nstore_index = "HNSW"\n')
    settings = load({"FOOTAGE_STORE_CA": "/ca.pem"}, file=file)
    assert settings.store == "milvus:" and settings.store_token == "root:s3cret" and settings.store_ca == "/ca.pem"
    assert "s3cret" not in repr(settings)
    file.write_text("store_token = 12345678\n")
    with pytest.raises(ConfigError) as caught:
        load({}, file=file)
    assert "12345678" not in caught.value.message


def test_a_new_library_takes_the_store_of_the_settings(tmp_path: Path) -> None:
    clip(tmp_path / "films" / "a.mp4", 1)
    with library(tmp_path / "library") as lib:
        lib.settings = Settings(store="milvus:vectors")
        run(lib, tmp_path / "films")
        assert lib.stamp is not None and lib.stamp.store == "milvus:vectors" and len(lib.stamp.store_id) == 16
        assert (lib.path / "vectors" / "collections").is_dir() and not (lib.path / "creating.json").exists()
        lib.settings = Settings()
        assert run(lib, tmp_path / "films")["a.mp4"].status == "unchanged", "the library knows where it is"
    with library(tmp_path / "other") as lib, pytest.raises(ConfigError):
        lib.index(tmp_path / "films", store="memory:")


def test_a_creation_that_was_interrupted_takes_the_same_place(tmp_path: Path) -> None:
    clip(tmp_path / "films" / "a.mp4", 1)
    with library(tmp_path / "library") as lib:
        lib.path.mkdir()
        first = lib._home._new_place("milvus:")
        assert lib._home._new_place("milvus:") == first != lib._home._new_place("milvus:x")
        run(lib, tmp_path / "films", store="milvus:")
        assert [v.samples > 0 for v in lib.videos()] == [True]
