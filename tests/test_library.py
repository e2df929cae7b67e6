"""The facade: opening, stamping, locking, removing, the doctor, and what is refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clips import clip, encoder, holdings, identity, library, run, statuses, whole

import footage
from footage.config import Settings
from footage.errors import (
    ConfigError,
    FootageError,
    NotIndexed,
    QueryError,
    SpaceMismatch,
    StoreError,
    StoreUnavailable,
    UnknownEncoder,
)
from footage.frames import decode_jpeg
from footage.library import Library
from footage.types import Embeddings, TimedText


@pytest.fixture
def films(tmp_path: Path) -> Path:
    clip(tmp_path / "films" / "a.mp4", 1, 2)
    clip(tmp_path / "films" / "b.mp4", 3)
    return tmp_path / "films"


@pytest.fixture
def lib(tmp_path: Path, films: Path) -> Iterator[Library]:
    with library(tmp_path / "library") as opened:
        run(opened, films)
        yield opened


def spoil(lib: Library, **values: Any) -> None:
    file = lib.path / "library.json"
    stamp = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(stamp | values), encoding="utf-8")


# -------------------------------------------------------------------------------------------------- opening, stamping


def test_the_public_names() -> None:
    for name in footage.__all__:
        assert getattr(footage, name).__name__ == name
    with pytest.raises(AttributeError, match="nothing_such"):
        footage.nothing_such  # noqa: B018


def test_opening_makes_nothing(tmp_path: Path) -> None:
    with Library.open(tmp_path / "lib") as lib:
        for ask in (lib.videos, lambda: lib.search("a cat"), lambda: lib.get("x"), lib.doctor, lambda: lib.encoder):
            with pytest.raises(NotIndexed, match="no library at"):
                ask()
        with pytest.raises(NotIndexed):
            lib.remove("x")
    assert not (tmp_path / "lib" / "library.json").exists()
    assert not (tmp_path / "lib" / "store").exists()


def test_a_library_is_stamped(lib: Library) -> None:
    stamp = json.loads((lib.path / "library.json").read_text(encoding="utf-8"))
    assert stamp["format"] == 1 and stamp["footage"] == footage.__version__
    assert stamp["model"] == "starter" and stamp["fingerprint"] == encoder().fingerprint
    assert stamp["roles"].keys() == {"image", "text", "copy"}
    assert set(stamp["roles"].values()) == {s.name for s in lib._opened().spaces()}
    assert stamp["why"]


def test_another_process_sees_it(lib: Library) -> None:
    with library(lib.path) as other:
        assert other.videos() == lib.videos()


def test_it_can_be_used_after_close(lib: Library) -> None:
    videos = lib.videos()
    lib.close()
    assert lib.videos() == videos
    lib.close()
    lib.close()


def test_a_library_that_was_created_meanwhile_is_found(tmp_path: Path, films: Path) -> None:
    early = library(tmp_path / "library")
    with library(tmp_path / "library") as other:
        run(other, films)
    assert len(early.videos()) == 2
    early.close()


def test_one_path_or_many(tmp_path: Path, films: Path) -> None:
    with library(tmp_path / "lib") as lib:
        assert len(lib.index(str(films / "a.mp4"))) == 1
        assert len(lib.index(films / "a.mp4")) == 1
        assert len(lib.index([str(films / "a.mp4"), films / "b.mp4"])) == 2
        assert lib.index([]) == []


def test_results_come_as_they_are_made(tmp_path: Path, films: Path) -> None:
    seen: list[Any] = []
    with library(tmp_path / "lib") as lib:
        assert lib.index(films, on_file=seen.append) == seen
    assert len(seen) == 2


# ------------------------------------------------------------------------------------------------------------ refused


def test_a_file_where_the_directory_should_be(tmp_path: Path) -> None:
    (tmp_path / "lib").write_text("x")
    with pytest.raises(StoreError, match="not a directory") as caught:
        Library.open(tmp_path / "lib")
    assert "--library" in caught.value.hint
    with pytest.raises(StoreError):
        Library.open(tmp_path / "lib" / "below").index([])


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "3", '{"format": 1}', "\x00\x00"])
def test_a_damaged_stamp(lib: Library, content: str) -> None:
    (lib.path / "library.json").write_text(content)
    with pytest.raises(StoreError, match=r"library\.json"):
        Library.open(lib.path)


def test_a_stamp_in_another_encoding(lib: Library) -> None:
    (lib.path / "library.json").write_bytes(b'{"format": 1, "why": "\xff"}')
    with pytest.raises(StoreError, match=r"library\.json"):
        Library.open(lib.path)


@pytest.mark.parametrize("version", [0, 4, "1", None])
def test_another_layout(lib: Library, version: Any) -> None:
    spoil(lib, format=version, footage="9.9.9")
    with pytest.raises(SpaceMismatch, match="layout") as caught:
        Library.open(lib.path)
    assert "9.9.9" in caught.value.hint and caught.value.exit_status == 2


def test_a_stamp_may_know_more_than_we_do(lib: Library) -> None:
    spoil(lib, later_addition=[1])
    with library(lib.path) as again:
        assert len(again.videos()) == 2


def test_vectors_of_another_version_of_the_model(lib: Library, films: Path) -> None:
    spoil(lib, fingerprint="something else")
    with library(lib.path) as other:
        assert len(other.videos()) == 2  # what needs no vectors still works
        for ask in (lambda: other.search("a cat"), lambda: other.index(films)):
            with pytest.raises(SpaceMismatch, match="another version of the model"):
                ask()


def test_another_model_than_the_one_it_was_made_with(lib: Library, films: Path) -> None:
    with pytest.raises(SpaceMismatch, match="created with the model starter, not layout"):
        lib.index(films, model="layout")
    with pytest.raises(UnknownEncoder, match="nonsense"):
        lib.index(films, model="nonsense")
    assert statuses(lib, films, model="starter") == statuses(lib, films, model="auto")


def test_a_removed_video_is_gone_for_whoever_asks_next(lib: Library) -> None:
    """Also while another thread asks, who may be given what was believed before."""
    gone = lib.videos()[0].id
    start = threading.Barrier(4)
    seen: list[set[str]] = []

    def ask() -> None:
        start.wait()
        seen.extend({video.id for video in lib.videos()} for _ in range(20))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    lib.remove(gone)
    start.wait()
    for thread in threads:
        thread.join()
    assert len(seen) == 60 and not any(gone in ids for ids in seen)


def test_an_unknown_model_makes_no_library(tmp_path: Path, films: Path) -> None:
    with Library.open(tmp_path / "lib") as lib:
        with pytest.raises(UnknownEncoder):
            lib.index(films, model="nonsense")
        with pytest.raises(NotIndexed):
            lib.videos()
        assert len(lib.index(films)) == 2


@pytest.mark.parametrize("every", [0.0, -1.0, float("nan"), 1e9])
def test_settings_out_of_range(lib: Library, films: Path, every: float) -> None:
    with pytest.raises(ConfigError, match="sampling interval"):
        lib.index(films, every=every)


def test_one_writer_at_a_time(lib: Library, films: Path, tmp_path: Path) -> None:
    code = (
        "import sys\nfrom filelock import FileLock\n"
        "with FileLock(sys.argv[1]):\n print('held', flush=True)\n sys.stdin.read()\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(lib.path / "lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    for ask in (lambda: lib.index(films), lambda: lib.remove(lib.videos()[0].id), lambda: lib.doctor(repair=True)):
        with pytest.raises(StoreUnavailable, match="another process") as caught:
            ask()
        assert caught.value.exit_status == 3 and caught.value.retry and caught.value.hint
    assert len(lib.videos()) == 2 and lib.doctor() == [] and lib.search("a cat")
    holder.communicate("")
    assert statuses(lib, films) == dict.fromkeys(("a.mp4", "b.mp4"), "unchanged")


def test_the_lock_is_released_after_an_error(lib: Library, films: Path) -> None:
    def on_file(_: object) -> None:
        raise ValueError

    with pytest.raises(ValueError):
        lib.index(films, on_file=on_file)
    assert len(lib.index(films)) == 2


# --------------------------------------------------------------------------------------------------- videos by name


def test_a_video_by_id_path_or_beginning(lib: Library, films: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a = identity(films / "a.mp4")
    monkeypatch.chdir(films)
    for name in (a, a[:4], a[:20], str(films / "a.mp4"), "a.mp4", "../films/a.mp4"):
        assert lib.get(name).id == a
    for name in (a[:3], "", "c.mp4", "films", "a" * 300, "a\0b"):
        with pytest.raises(NotIndexed):
            lib.get(name)


def test_removing(lib: Library, films: Path) -> None:
    a, b = identity(films / "a.mp4"), identity(films / "b.mp4")
    with pytest.raises(NotIndexed):
        lib.remove(a, "nonsense")
    assert len(lib.videos()) == 2, "all or nothing"
    assert [v.id for v in lib.remove(a)] == [a]
    assert holdings(lib) == {b: ["b.mp4"]} and (films / "a.mp4").exists()
    assert {m.video.id for m in lib.search("x")} == {b}
    whole(lib)
    assert statuses(lib, films) == {"a.mp4": "indexed", "b.mp4": "unchanged"}


def test_removing_one_video_twice_in_a_call(lib: Library, films: Path) -> None:
    assert len({v.id for v in lib.remove(str(films / "a.mp4"), identity(films / "a.mp4"))}) == 1
    assert len(lib.videos()) == 1


def test_thumbnails(lib: Library, films: Path) -> None:
    moment = lib.search("anything", k=1)[0]
    assert decode_jpeg(lib.thumbnail(moment.video.id, moment.at)).shape == (120, 160, 3)
    with pytest.raises(NotIndexed):
        lib.thumbnail("ab" * 16, 0)


# ------------------------------------------------------------------------------------------------------------ failures


def test_failures_are_kept_until_they_are_mended(lib: Library, films: Path) -> None:
    (films / "bad.mp4").write_text("no video")
    run(lib, films)
    (failure,) = lib.failures()
    assert failure.keys() == {"path", "error", "hint"} and failure["path"].endswith("bad.mp4")
    run(lib, films / "a.mp4")
    assert len(lib.failures()) == 1
    (films / "bad.mp4").unlink()
    run(lib, films / "a.mp4")
    assert lib.failures() == []
    (lib.path / "failures.json").write_text("{broken")
    assert lib.failures() == []
    run(lib, films)


# --------------------------------------------------------------------------------------------------------- timed texts


def test_texts_of_a_library(lib: Library, films: Path) -> None:
    a, b = (lib.get(str(films / name)) for name in ("a.mp4", "b.mp4"))
    assert not (lib.path / "store" / "texts.lance").exists() and lib.texts(a.id) == []
    assert lib.search_texts("dog") == [], "a library without texts has no answer, and no table"
    said = [TimedText(a.id, 1.0, 1.5, "Two dogs", "speech", "en"), TimedText(a.id, 0.0, 0.5, "狗", "ocr", "zh")]
    lib.put_texts(str(films / "a.mp4"), said)
    lib.put_texts(b.id, [TimedText(b.id, 0.0, 0.5, "Dog, dog, dog", "speech")])
    assert lib.texts(a.id[:8]) == said[::-1]
    assert [hit.text.video_id for hit in lib.search_texts("dogs")] == [b.id, a.id]
    assert [hit.text for hit in lib.search_texts("dogs", videos=[str(films / "a.mp4")])] == said[:1]
    assert [hit.text for hit in lib.search_texts("dogs", videos=a.id, kinds="speech")] == said[:1]
    assert lib.search_texts("dogs", kinds=["ocr"]) == [] and len(lib.search_texts("dogs", 1)) == 1
    lib.put_texts(a.id, [], kinds=["ocr"])
    assert lib.texts(a.id) == said[:1]
    lib.remove(b.id)
    assert [hit.text for hit in lib.search_texts("dogs")] == said[:1]
    whole(lib)


def test_texts_that_are_refused(lib: Library, tmp_path: Path) -> None:
    a, b = lib.videos()
    for name, texts in (("nothing.mp4", []), (a.id, [TimedText(b.id, 0, 1, "dog", "speech")])):
        with pytest.raises((NotIndexed, QueryError)) as caught:
            lib.put_texts(name, texts)
        assert caught.value.hint
    for ask in (lambda: lib.search_texts("?"), lambda: lib.search_texts("dog", 0)):
        with pytest.raises(QueryError):
            ask()
    for ask in (lambda: lib.search_texts("dog", videos=["nothing.mp4"]), lambda: lib.texts("nothing.mp4")):
        with pytest.raises(NotIndexed):
            ask()
    with Library.open(tmp_path / "none") as none, pytest.raises(NotIndexed):
        none.search_texts("dog")


def test_the_doctor_tells_texts_of_no_video_and_keeps_them(lib: Library) -> None:
    lib._opened().put_texts([TimedText("nobody", 0, 1, "dog", "speech")])
    for finding in (*lib.doctor(), *lib.doctor(repair=True), *lib.doctor()):
        assert finding.problem == "texts" and finding.message.startswith("1 texts (speech)") and finding.harmless
        assert not finding.mended


def test_a_video_that_the_doctor_forgets_finds_its_texts_again(lib: Library, films: Path) -> None:
    video = lib.get(str(films / "a.mp4"))
    said = [TimedText(video.id, 0, 1, "dog", "speech")]
    lib.put_texts(video.id, said)
    lose_rows(lib, films)
    assert any(each.mended for each in lib.doctor(repair=True))
    assert video.id not in {each.id for each in lib.videos()}
    lib.index(films)
    assert lib.texts(video.id) == said
    whole(lib)


# -------------------------------------------------------------------------------------------------------------- doctor


def archive(lib: Library, path: Path) -> Path:
    return lib.frames._path(identity(path))


def orphan(lib: Library) -> None:
    for space in lib._opened().spaces():
        vectors = np.zeros((2, space.dim), np.float32)
        vectors[:, 0] = 1
        at = np.arange(2.0)
        lib._opened().add([Embeddings(space.name, "ab" * 16, at, at + 1, at, vectors)])


def lose_rows(lib: Library, films: Path) -> None:
    store, video = lib._opened(), lib.get(str(films / "a.mp4"))
    store.delete([video.id], texts=False)
    store.commit([video])


DAMAGE: dict[str, tuple[str, bool, Any]] = {
    # what it is called, whether it does harm, how it is done
    "deleted archive": ("frames", True, lambda lib, films: archive(lib, films / "a.mp4").unlink()),
    "truncated archive": (
        "frames",
        True,
        lambda lib, films: archive(lib, films / "a.mp4").write_bytes(archive(lib, films / "a.mp4").read_bytes()[:500]),
    ),
    "archive without a frame": (
        "frames",
        True,
        lambda lib, films: zipfile.ZipFile(archive(lib, films / "a.mp4"), "w").close(),
    ),
    "stray archive": (
        "stray",
        False,
        lambda lib, films: shutil.copy(archive(lib, films / "a.mp4"), lib.frames.root / "aa" / f"{'aa' * 16}.zip"),
    ),
    "leftover": (
        "leftover",
        False,
        lambda lib, films: (lib.frames.root / "aa" / f"{'aa' * 16}.partial").write_bytes(b"x"),
    ),
    "orphan rows": ("orphans", False, lambda lib, films: orphan(lib)),
    "missing rows": ("rows", True, lose_rows),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_the_doctor_finds_and_mends(lib: Library, films: Path, damage: str) -> None:
    problem, harmful, do = DAMAGE[damage]
    whole(lib)
    before = {v.id: replace(v, indexed_at=0) for v in lib.videos()}
    (lib.frames.root / "aa").mkdir(exist_ok=True)
    do(lib, films)
    found = lib.doctor()
    assert {f.problem for f in found} == {problem}
    assert all(f.harmless is not harmful and not f.mended and f.message for f in found)
    assert lib.doctor() == found, "looking changes nothing"
    mended = lib.doctor(repair=True)
    assert {(f.problem, f.mended) for f in mended} == {(problem, True)}
    assert lib.doctor() == []
    run(lib, films)
    assert {v.id: replace(v, indexed_at=0) for v in lib.videos()} == before
    whole(lib)


def test_the_doctor_keeps_a_broken_video_whose_file_is_away(lib: Library, films: Path) -> None:
    archive(lib, films / "a.mp4").unlink()
    (films / "a.mp4").rename(films.parent / "away.mp4")
    found = {f.problem: (f.mended, f.harmless) for f in lib.doctor(repair=True)}
    assert found == {"frames": (False, False), "missing": (False, True)}
    assert len(lib.videos()) == 2


def test_the_doctor_tells_of_files_that_are_away(lib: Library, films: Path) -> None:
    (films / "a.mp4").rename(films.parent / "away.mp4")
    (finding,) = lib.doctor()
    assert finding.problem == "missing" and finding.harmless and "a.mp4" in finding.message


# ------------------------------------------------------------------------------------------------------ the errors


def test_every_error_is_one_of_ours(lib: Library) -> None:
    for call in (
        lambda: lib.search(""),
        lambda: lib.search(image="/nowhere.png"),
        lambda: lib.search(video="/nowhere.mp4"),
        lambda: lib.get("nothing"),
    ):
        with pytest.raises(FootageError) as caught:
            call()
        message = str(caught.value)
        assert message and "\n" not in message and not message.endswith(".")


def test_settings_of_the_library(tmp_path: Path, films: Path) -> None:
    with Library.open(tmp_path / "lib", settings=Settings(every=2.0), encoder=encoder()) as lib:
        run(lib, films)
        assert {v.sampling.split("/")[0] for v in lib.videos()} == {"1:2"}
