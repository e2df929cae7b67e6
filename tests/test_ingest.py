"""From files to a library: identity of content, bad files among good ones, hanging files, interrupts, memory."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from clips import clip, encoder, holdings, identity, library, remux, run, statuses, whole
from PIL import Image

from footage import media
from footage.config import Settings
from footage.errors import CorruptMedia, EncoderError, MediaError, MediaNotFound, UnsupportedMedia
from footage.frames import FrameWriter
from footage.ingest import AtWork, IngestSettings, Progress, ingest, loading
from footage.library import Library
from footage.pipeline import _Worker
from footage.places import look
from footage.types import Indexed, TimedText

posix = pytest.mark.skipif(sys.platform == "win32", reason="links, pipes and such names are POSIX")


class Counting:
    """The encoder, counting what it is asked for."""

    def __init__(self) -> None:
        self.pictures = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(encoder(), name)

    def encode_images(self, images: Any) -> Any:
        self.pictures += len(images)
        return encoder().encode_images(images)


@pytest.fixture
def films(tmp_path: Path) -> Path:
    folder = tmp_path / "films"
    folder.mkdir()
    return folder


@pytest.fixture
def counting() -> Counting:
    return Counting()


@pytest.fixture
def lib(tmp_path: Path, counting: Counting) -> Iterator[Library]:
    with Library.open(tmp_path / "library", encoder=counting) as opened:  # type: ignore[arg-type]
        yield opened


# ---------------------------------------------------------------------------------------------------------- identity


def test_a_folder_is_indexed_once(lib: Library, films: Path, counting: Counting) -> None:
    clip(films / "a.mp4", 1, 2)
    clip(films / "sub" / "b.mp4", 3)
    first = run(lib, films)
    assert {n: (r.status, round(r.seconds, 1), r.samples) for n, r in first.items()} == {
        "a.mp4": ("indexed", 2.0, 2),
        "b.mp4": ("indexed", 1.0, 1),
    }
    assert first["a.mp4"].video_id == identity(films / "a.mp4")
    encoded = counting.pictures
    assert encoded == 3
    second = run(lib, films)
    assert {n: r.status for n, r in second.items()} == {"a.mp4": "unchanged", "b.mp4": "unchanged"}
    assert [(r.video_id, r.seconds, r.samples) for r in second.values()] == [
        (first[n].video_id, first[n].seconds, first[n].samples) for n in second
    ]
    assert counting.pictures == encoded
    whole(lib)


def test_one_content_at_two_paths_is_one_video(lib: Library, films: Path, counting: Counting) -> None:
    a = clip(films / "a.mp4", 1, 2)
    shutil.copy(a, films / "copy.mp4")
    assert sorted(statuses(lib, films).values()) == ["indexed", "unchanged"]
    shutil.copy(a, films / "later.mp4")
    assert statuses(lib, films) == dict.fromkeys(("a.mp4", "copy.mp4", "later.mp4"), "unchanged")
    assert holdings(lib) == {identity(a): ["a.mp4", "copy.mp4", "later.mp4"]}
    assert counting.pictures == 2
    whole(lib)


def test_a_renamed_file_is_moved_and_not_embedded_again(lib: Library, films: Path, counting: Counting) -> None:
    a = clip(films / "a.mp4", 1, 2)
    run(lib, films)
    (films / "trip").mkdir()
    moved = a.rename(films / "trip" / "b.mp4")
    result = run(lib, films)["b.mp4"]
    assert (result.status, result.samples, round(result.seconds, 1)) == ("moved", 2, 2.0)
    assert [v.path for v in lib.videos()] == [moved.as_posix()] and counting.pictures == 2
    assert statuses(lib, films) == {"b.mp4": "unchanged"}
    whole(lib)


def test_a_copy_that_is_renamed_is_moved_and_the_other_stays(lib: Library, films: Path) -> None:
    a = clip(films / "a.mp4", 1)
    shutil.copy(a, films / "b.mp4")
    run(lib, films)
    (films / "b.mp4").rename(films / "c.mp4")
    assert statuses(lib, films) == {"a.mp4": "unchanged", "c.mp4": "moved"}
    assert holdings(lib) == {identity(a): ["a.mp4", "c.mp4"]}


def test_files_that_swap_names_or_move_up_lose_nothing(lib: Library, films: Path, counting: Counting) -> None:
    paths = [clip(films / f"{i}.mp4", 10 * i, 10 * i + 1) for i in range(4)]
    ids = [identity(p) for p in paths]
    run(lib, films)
    for path in reversed(paths):  # each takes the name of the next
        path.rename(films / f"{int(path.stem) + 1}.mp4")
    assert set(statuses(lib, films).values()) == {"moved"}
    assert holdings(lib) == {ids[i]: [f"{i + 1}.mp4"] for i in range(4)}
    (films / "1.mp4").rename(films / "x")
    (films / "4.mp4").rename(films / "1.mp4")
    (films / "x").rename(films / "4.mp4")
    again = statuses(lib, films)
    assert (again["1.mp4"], again["4.mp4"]) == ("moved", "moved")
    assert holdings(lib) == {ids[0]: ["4.mp4"], ids[1]: ["2.mp4"], ids[2]: ["3.mp4"], ids[3]: ["1.mp4"]}
    assert counting.pictures == 8
    whole(lib)


def test_changed_content_is_indexed_and_the_old_one_forgotten(lib: Library, films: Path) -> None:
    a, b = clip(films / "a.mp4", 1), clip(films / "b.mp4", 2)
    run(lib, films)
    clip(a, 3, 4, 5)
    assert statuses(lib, films) == {"a.mp4": "indexed", "b.mp4": "unchanged"}
    assert holdings(lib) == {identity(a): ["a.mp4"], identity(b): ["b.mp4"]}
    for space in lib._opened().spaces():
        assert lib._opened().counts(space.name) == {identity(a): 3, identity(b): 1}
    whole(lib)


def test_content_that_has_lost_its_file_is_shown_no_more(lib: Library, films: Path) -> None:
    """It stays to the end of a run, for a file that was renamed; a killed run leaves it to the next one."""
    clip(films / "a.mp4", 1)
    clip(films / "b.mp4", 2)
    run(lib, films)
    store = lib._opened()
    lost = lib.get(str(films / "a.mp4"))
    store.commit([replace(lost, files=())])
    (films / "a.mp4").rename(films.parent / "elsewhere.mp4")
    assert [Path(v.path).name for v in lib.videos()] == ["b.mp4"]
    assert {m.video.path for m in lib.search("anything")} == {(films / "b.mp4").as_posix()}
    run(lib, films)
    assert store.get(lost.id) is None and lost.id not in lib.frames.ids()
    whole(lib)


def test_changed_content_that_lives_on_in_a_copy_is_kept(lib: Library, films: Path) -> None:
    a = clip(films / "a.mp4", 1)
    old = identity(a)
    shutil.copy(a, films / "b.mp4")
    run(lib, films)
    clip(a, 2)
    run(lib, films)
    assert holdings(lib) == {old: ["b.mp4"], identity(a): ["a.mp4"]}
    whole(lib)


def test_a_touched_file_is_unchanged(lib: Library, films: Path, counting: Counting) -> None:
    a = clip(films / "a.mp4", 1)
    run(lib, films)
    os.utime(a, (1_000_000_000, 1_000_000_000))
    assert statuses(lib, films) == {"a.mp4": "unchanged"} and counting.pictures == 1
    assert lib.videos()[0].files[0].mtime_ns == 1_000_000_000 * 10**9  # so that it need not be read the next time


def test_vanished_files_are_told_and_forgotten_on_request(lib: Library, films: Path) -> None:
    a, b = clip(films / "a.mp4", 1), clip(films / "b.mp4", 2)
    run(lib, films)
    a.unlink()
    for _ in range(2):
        assert statuses(lib, films) == {"a.mp4": "vanished", "b.mp4": "unchanged"}
    assert len(lib.videos()) == 2
    assert statuses(lib, films, prune=True) == {"a.mp4": "pruned", "b.mp4": "unchanged"}
    assert holdings(lib) == {identity(b): ["b.mp4"]}
    assert statuses(lib, films, prune=True) == {"b.mp4": "unchanged"}
    whole(lib)


def test_a_vanished_copy_is_told_and_its_content_kept(lib: Library, films: Path) -> None:
    a = clip(films / "a.mp4", 1)
    shutil.copy(a, films / "b.mp4")
    run(lib, films)
    (films / "b.mp4").unlink()
    assert statuses(lib, films) == {"a.mp4": "unchanged", "b.mp4": "vanished"}
    assert statuses(lib, films, prune=True) == {"a.mp4": "unchanged", "b.mp4": "pruned"}
    assert holdings(lib) == {identity(a): ["a.mp4"]}
    whole(lib)


def test_only_what_was_looked_at_is_pruned(lib: Library, films: Path) -> None:
    clip(films / "here" / "a.mp4", 1)
    clip(films / "here and there" / "b.mp4", 2)
    run(lib, films)
    shutil.rmtree(films / "here and there")
    assert statuses(lib, films / "here", prune=True) == {"a.mp4": "unchanged"}
    assert len(lib.videos()) == 2


def test_an_unplugged_disk_forgets_nothing(lib: Library, films: Path) -> None:
    clip(films / "disk" / "a.mp4", 1)
    run(lib, films / "disk")
    (films / "disk").rename(films.parent / "unplugged")
    result = run(lib, films / "disk", prune=True)
    assert {n: (r.status, type(r.error)) for n, r in result.items()} == {"disk": ("failed", MediaNotFound)}
    assert len(lib.videos()) == 1
    (films.parent / "unplugged").rename(films / "disk")
    assert statuses(lib, films / "disk") == {"a.mp4": "unchanged"}


@posix
def test_a_folder_that_cannot_be_read_forgets_nothing(
    lib: Library, films: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip(films / "locked" / "a.mp4", 1)
    run(lib, films)
    real_scandir, real_stat = os.scandir, os.stat

    def locked(path: Any) -> bool:
        return "locked" in os.fspath(path)

    def scandir(path: Any) -> Any:
        if locked(path):
            raise PermissionError(13, "Permission denied")
        return real_scandir(path)

    def stat(path: Any, **options: Any) -> os.stat_result:
        if not isinstance(path, int) and locked(path):
            raise PermissionError(13, "Permission denied")
        return real_stat(path, **options)

    monkeypatch.setattr(os, "scandir", scandir)
    monkeypatch.setattr(os, "stat", stat)
    assert statuses(lib, films, prune=True) == {}
    monkeypatch.undo()
    assert statuses(lib, films) == {"a.mp4": "unchanged"}


def test_other_sampling_makes_a_video_anew(lib: Library, films: Path) -> None:
    a = clip(films / "a.mp4", 1, 2, 3, 4)
    shutil.copy(a, films / "b.mp4")
    run(lib, films)
    before = len(lib.frames.times(identity(a)))
    said = [TimedText(identity(a), 1, 2, "a dog", "speech")]
    lib.put_texts(str(a), said)
    assert sorted(statuses(lib, a, every=4.0).values()) == ["indexed"]
    (video,) = lib.videos()
    assert [Path(f.path).name for f in video.files] == ["a.mp4", "b.mp4"]
    assert video.sampling.startswith("1:4/") and before == 4
    assert lib.texts(video.id) == said, "they belong to the content"
    whole(lib)
    assert statuses(lib, films, every=4.0) == dict.fromkeys(("a.mp4", "b.mp4"), "unchanged")
    assert sorted(statuses(lib, films).values()) == ["indexed", "unchanged"]
    whole(lib)


def test_texts_outlive_a_kill_in_the_middle_of_an_exchange(lib: Library, films: Path) -> None:
    a = clip(films / "a.mp4", 1, 2, 3, 4)
    run(lib, films)
    said = [TimedText(identity(a), 1, 2, "a dog", "speech")]
    lib.put_texts(str(a), said)
    killed = subprocess.run([sys.executable, "-c", DIES, str(films), str(lib.path)], check=False)
    assert killed.returncode == 9 and lib.videos() == [] and lib.search_texts("dog") == []
    assert statuses(lib, films, every=0.5) == {"a.mp4": "indexed"}
    assert lib.texts(identity(a)) == said and len(lib.search_texts("dog")) == 1
    whole(lib)


def test_a_fast_pass_first_and_a_full_one_later(lib: Library, films: Path) -> None:
    clip(films / "a.mp4", 1, 2, 3)
    assert statuses(lib, films, fast=True) == {"a.mp4": "indexed"}
    assert statuses(lib, films) == {"a.mp4": "indexed"}
    assert statuses(lib, films, fast=True) == {"a.mp4": "unchanged"}  # there is more than it asks for
    whole(lib)


# -------------------------------------------------------------------------------------------- what is passed over


def test_hidden_files_and_the_library_itself_are_passed_over(films: Path, counting: Counting) -> None:
    a = clip(films / "a.mp4", 1)
    for name in (".hidden.mp4", "._a.mp4", ".trash/a.mp4"):
        (films / name).parent.mkdir(exist_ok=True)
        shutil.copy(a, films / name)
    with Library.open(films / "footage library", encoder=counting) as lib:  # type: ignore[arg-type]
        assert statuses(lib, films) == {"a.mp4": "indexed"}
        shutil.copy(a, lib.path / "inside.mp4")
        assert statuses(lib, films) == {"a.mp4": "unchanged"}


def test_other_files_in_a_folder_are_passed_over_and_named_ones_reported(lib: Library, films: Path) -> None:
    clip(films / "a.mp4", 1)
    (films / "notes.txt").write_text("a note")
    (films / "empty").touch()
    Image.new("RGB", (64, 48)).save(films / "photo.jpg")
    assert statuses(lib, films) == {"a.mp4": "indexed"}
    for name in ("notes.txt", "empty", "photo.jpg"):
        result = run(lib, films / name)[name]
        assert result.status == "failed" and isinstance(result.error, UnsupportedMedia), name
        assert name in str(result.error)


def test_other_files_are_not_read_to_their_end(lib: Library, films: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    real = loading.digest

    def digest(path: str, beat: Callable[[], None]) -> str:
        read.append(Path(path).name)
        return real(path, beat)

    monkeypatch.setattr(loading, "digest", digest)
    clip(films / "a.mp4", 1)
    shutil.copy(films / "a.mp4", films / "film without a suffix")
    (films / "disk image.img").write_bytes(os.urandom(100_000))
    assert sorted(statuses(lib, films)) == ["a.mp4", "film without a suffix"]
    assert sorted(read) == ["a.mp4", "film without a suffix"]


def test_what_is_finished_is_committed_while_a_giant_file_is_still_being_read(
    lib: Library, films: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, committed, went_on = loading.digest, threading.Event(), threading.Event()
    clip(films / "a.mp4", 1, 2)
    clip(films / "giant.mp4", 3, 4, 5)

    def digest(path: str, beat: Callable[[], None]) -> str:
        if Path(path).name == "giant.mp4":
            end = time.monotonic() + 60
            while not committed.wait(0.05) and time.monotonic() < end:
                beat()
            went_on.set()
        return real(path, beat)

    monkeypatch.setattr(loading, "digest", digest)
    seen: list[tuple[str, bool]] = []

    def done(result: Indexed) -> None:
        seen.append((Path(result.path).name, went_on.is_set()))
        if len(seen) == 1:
            assert [Path(video.path).name for video in lib.videos()] == ["a.mp4"]
            committed.set()

    lib.index(films, on_file=done)
    assert seen == [("a.mp4", False), ("giant.mp4", True)]


def test_content_decides_and_not_the_suffix(lib: Library, films: Path) -> None:
    shutil.move(clip(films / "a.mp4", 1), films / "a.txt")
    assert statuses(lib, films) == {"a.txt": "indexed"}


def test_bad_files_fail_each_in_its_own_way_and_good_ones_are_indexed(lib: Library, films: Path) -> None:
    good = clip(films / "good.mp4", 1, 2)
    data = good.read_bytes()
    (films / "empty.mp4").touch()
    (films / "text.mp4").write_text("this is no video\n" * 50)
    (films / "cut.mp4").write_bytes(data[:200])
    Image.new("RGB", (64, 48)).save(films / "photo.mp4", "PNG")
    (films / "zeros.mkv").write_bytes(bytes(5000))
    result = run(lib, films, films / "missing.mp4")
    assert result["good.mp4"].status == "indexed"
    bad = {n: type(r.error) for n, r in result.items() if n != "good.mp4"}
    assert {n: r.status for n, r in result.items() if r.error} == dict.fromkeys(bad, "failed")
    assert bad["text.mp4"] is UnsupportedMedia and bad["photo.mp4"] is UnsupportedMedia
    assert bad["missing.mp4"] is MediaNotFound and bad["cut.mp4"] is CorruptMedia
    assert issubclass(bad["empty.mp4"], MediaError) and issubclass(bad["zeros.mkv"], MediaError)
    for name in bad:
        assert name in str(result[name].error), "the message names the file"
    assert {Path(f["path"]).name for f in lib.failures()} == bad.keys() - {"missing.mp4"}
    shutil.copy(good, films / "empty.mp4")
    run(lib, films)
    assert "empty.mp4" not in {Path(f["path"]).name for f in lib.failures()}
    whole(lib)


def test_copies_of_a_bad_file_fail_alike(lib: Library, films: Path) -> None:
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        (films / name).write_text("this is no video\n")
    result = run(lib, films)
    assert len(result) == 3
    for name, r in result.items():
        assert type(r.error) is UnsupportedMedia and r.error.uri == (films / name).as_posix()
        assert name in str(r.error) and str(r.error).startswith("not a video")


@posix
def test_what_is_no_regular_file_is_told_and_does_not_hang(lib: Library, films: Path) -> None:
    os.mkfifo(films / "pipe.mp4")
    started = time.monotonic()
    result = run(lib, films / "pipe.mp4")["pipe.mp4"]
    assert type(result.error) is UnsupportedMedia and "not a regular file" in str(result.error)
    assert statuses(lib, films) == {}
    assert time.monotonic() - started < 120, "it was waited for"


@posix
def test_links(lib: Library, films: Path) -> None:
    a = clip(films.parent / "a.mp4", 1)
    (films / "link.mp4").symlink_to(a)
    (films / "dangling.mp4").symlink_to(films / "nowhere")
    (films / "loop.mp4").symlink_to(films / "loop.mp4")
    assert statuses(lib, films) == {"link.mp4": "indexed"}
    assert statuses(lib, films.parent / "a.mp4") == {"a.mp4": "unchanged"}
    assert holdings(lib) == {identity(a): ["a.mp4", "link.mp4"]}
    a.unlink()
    assert statuses(lib, films) == {"link.mp4": "vanished"}


NAMES = [
    "with space.mp4",
    "50% #1?&=+.mp4",
    'it\'s "quoted".mp4',
    "back\\slash.mp4",
    "[1] {2} *.mp4",
    "-k.mp4",
    "http:x.mp4",
    "你好 世界.mp4",
    "🎬🍿.mp4",
    "e\u0301 é.mp4",
    "two\nlines.mp4",
    "\x1b[31mred\x07.mp4",
    "x" * 251 + ".mp4",
]


@posix
def test_names(lib: Library, films: Path) -> None:
    source = clip(films.parent / "source.mp4", 1)
    for number, name in enumerate(NAMES):
        remux(source, films / "plain.mp4", str(number)).rename(films / name)
    result = run(lib, films)
    assert {n: r.status for n, r in result.items()} == dict.fromkeys(NAMES, "indexed")
    for name in NAMES:
        assert lib.get(str(films / name)).path == (films / name).as_posix()
    assert set(statuses(lib, films).values()) == {"unchanged"}


@pytest.mark.skipif(sys.platform != "linux", reason="other systems keep such names out")
def test_a_name_that_is_not_unicode_fails_and_the_rest_goes_on(lib: Library, films: Path) -> None:
    good = clip(films / "good.mp4", 1)
    shutil.copy(good, os.fsencode(films) + b"/caf\xe9.mp4")
    result = lib.index(films)
    assert sorted(r.status for r in result) == ["failed", "indexed"]
    (failure,) = lib.failures()
    assert "not Unicode" in failure["error"] and Path(failure["path"]).exists()


# ------------------------------------------------------------------------------- files that move while they are read


class Reader:
    """A video reader that does something at its third frame."""

    def __init__(self, path: str, then: Callable[[], None], **options: Any) -> None:
        self.inner, self.then = media.open_video(path, **options), then

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.inner.close()

    def frames(self) -> Iterator[Any]:
        for number, frame in enumerate(self.inner.frames()):
            if number == 25:
                self.then()
            yield frame


@pytest.fixture
def at_frame_25(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Callable[[], None]], None]:
    """Have something happen when a file of this name was read to its 25th frame (two samples are under way then)."""
    actions: dict[str, Callable[[], None]] = {}

    def open_video(path: str, **options: Any) -> Any:
        then = actions.get(Path(path).name)
        return Reader(path, then, **options) if then else media.open_video(path, **options)

    monkeypatch.setattr(loading, "open_video", open_video)
    return actions.__setitem__


def test_a_file_that_grows_while_it_is_read(
    lib: Library, films: Path, at_frame_25: Callable[[str, Callable[[], None]], None]
) -> None:
    a, good = clip(films / "a.mp4", 1, 2, 3, 4), clip(films / "good.mp4", 5)
    grow = [True]

    def action() -> None:
        if grow:
            with a.open("ab") as file:
                file.write(b"more")

    at_frame_25("a.mp4", action)
    result = run(lib, films)
    assert type(result["a.mp4"].error).__mro__[1] is CorruptMedia and "changed while" in str(result["a.mp4"].error)
    assert result["good.mp4"].status == "indexed"
    assert holdings(lib) == {identity(good): ["good.mp4"]}
    whole(lib)  # the pictures that were under way leave nothing behind
    grow.clear()
    assert statuses(lib, films) == {"a.mp4": "indexed", "good.mp4": "unchanged"}


def test_a_file_that_is_removed_while_it_is_read_and_its_copy(
    lib: Library, films: Path, at_frame_25: Callable[[str, Callable[[], None]], None]
) -> None:
    a = clip(films / "a.mp4", 1, 2, 3, 4)
    shutil.copy(a, films / "copy.mp4")
    video_id = identity(a)
    claimed_by_a = threading.Event()

    def action() -> None:
        claimed_by_a.set()
        a.unlink()

    at_frame_25("a.mp4", action)
    lib.settings = Settings(workers=1)  # so that a.mp4 comes first
    result = run(lib, films)
    assert claimed_by_a.is_set()
    assert result["a.mp4"].status == "failed" and isinstance(result["a.mp4"].error, MediaNotFound)
    assert result["copy.mp4"].status == "indexed", "its content is good"
    assert holdings(lib) == {video_id: ["copy.mp4"]}
    whole(lib)


def test_a_file_may_change_between_listing_and_reading(lib: Library, films: Path) -> None:
    a, b = clip(films / "a.mp4", 1), clip(films / "b.mp4", 2)

    def on_file(result: Indexed) -> None:
        if Path(result.path).name == "unknown.mp4":  # reported before anything is read
            clip(b, 3, 4)

    results = lib.index([films / "unknown.mp4", films], on_file=on_file)
    assert {Path(r.path).name: r.status for r in results} == {
        "unknown.mp4": "failed",
        "a.mp4": "indexed",
        "b.mp4": "indexed",
    }
    assert holdings(lib) == {identity(a): ["a.mp4"], identity(b): ["b.mp4"]}
    assert statuses(lib, films) == {"a.mp4": "unchanged", "b.mp4": "unchanged"}


@pytest.mark.parametrize("workers", [1, 2])
def test_a_file_that_makes_no_progress_is_given_up(
    lib: Library,
    films: Path,
    at_frame_25: Callable[[str, Callable[[], None]], None],
    workers: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    release = threading.Event()
    stuck = clip(films / "a stuck.mp4", 1, 2, 3, 4)
    shutil.copy(stuck, films / "z copy.mp4")
    for number in range(3):
        clip(films / f"good{number}.mp4", 10 + number)
    at_frame_25("a stuck.mp4", lambda: bool(release.wait(120)) and None)
    lib.settings = Settings(stall=1.0, workers=workers)
    abandon = _Worker.abandon

    def only_the_stuck(worker: Any, limit: float) -> bool:
        """A machine that halts for a second makes all of them look so."""
        return getattr(worker.item, "file", None) == job_file and abandon(worker, limit)

    job_file = look(str(stuck))
    monkeypatch.setattr(_Worker, "abandon", only_the_stuck)
    result = run(lib, films)
    release.set()
    error = result["a stuck.mp4"].error
    assert isinstance(error, CorruptMedia) and "no progress for 1 s" in str(error) and 0.5 < error.time < 3
    assert "stall" in error.hint
    # its copy fails alike, unless it came first
    assert "no progress" in str(result["z copy.mp4"].error)
    assert {n: r.status for n, r in result.items() if n.startswith("good")} == {
        f"good{n}.mp4": "indexed" for n in range(3)
    }
    assert {Path(v.path).name for v in lib.videos()} == {f"good{n}.mp4" for n in range(3)}
    whole(lib)


def test_a_slow_file_that_goes_on_is_not_given_up(
    lib: Library,
    films: Path,
    at_frame_25: Callable[[str, Callable[[], None]], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clip(films / "a.mp4", 1, 2, 3, 4)
    now = [0.0]  # a clock that stands still but for what the file takes
    monkeypatch.setattr("footage.pipeline.time", SimpleNamespace(monotonic=lambda: now[0]))

    def slowly() -> None:
        now[0] += 25.0
        threading.Event().wait(0.5)  # long enough for whoever looks

    at_frame_25("a.mp4", slowly)
    lib.settings = Settings(stall=30.0)
    assert statuses(lib, films) == {"a.mp4": "indexed"}


def test_a_failed_attempt_to_sample_anew_leaves_the_library_whole(
    lib: Library, films: Path, at_frame_25: Callable[[str, Callable[[], None]], None]
) -> None:
    a = clip(films / "a.mp4", 1, 2, 3, 4)
    run(lib, films)
    [before] = lib.videos()
    at_frame_25("a.mp4", lambda: os.utime(a, (1, 1)))
    assert statuses(lib, films, every=0.5) == {"a.mp4": "failed"}
    whole(lib)
    [after] = lib.videos()  # what was there answers on
    assert (after.sampling, after.samples) == (before.sampling, before.samples)
    at_frame_25("a.mp4", lambda: None)
    assert statuses(lib, films) == {"a.mp4": "unchanged"}
    assert statuses(lib, films, every=0.25) == {"a.mp4": "indexed"}
    [anew] = lib.videos()
    assert anew.samples > before.samples
    whole(lib)


def test_sampling_anew_that_is_stopped_keeps_what_was_there(
    lib: Library, films: Path, at_frame_25: Callable[[str, Callable[[], None]], None]
) -> None:
    clip(films / "a.mp4", 1, 2, 3, 4)
    run(lib, films)
    [before] = lib.videos()

    def stop() -> None:
        raise KeyboardInterrupt

    at_frame_25("a.mp4", stop)
    with pytest.raises(KeyboardInterrupt):
        run(lib, films, every=0.5)
    assert [(v.id, v.sampling, v.samples) for v in lib.videos()] == [(before.id, before.sampling, before.samples)]
    assert len(lib.search("a red wall", k=3)) >= 1
    whole(lib)


# ---------------------------------------------------------------------------------------------- errors and interrupts


class Breaks(Counting):
    """An encoder that raises when it has seen enough."""

    def __init__(self, error: BaseException, after: int) -> None:
        super().__init__()
        self.error, self.after = error, after

    def encode_images(self, images: Any) -> Any:
        if self.pictures >= self.after:
            raise self.error
        return super().encode_images(images)


@pytest.mark.parametrize("error", [EncoderError("broken"), KeyboardInterrupt(), RuntimeError("a bug")])
def test_an_error_stops_the_run_and_keeps_what_is_finished(films: Path, tmp_path: Path, error: BaseException) -> None:
    source = clip(tmp_path / "source.mp4", 1, 2)
    for number in range(30):
        remux(source, films / f"{number:02}.mp4", str(number))
    with Library.open(tmp_path / "lib", encoder=Breaks(error, 24)) as lib:  # type: ignore[arg-type]
        with pytest.raises(type(error)) as caught:
            lib.index(films)
        assert caught.value is error
    with library(tmp_path / "lib") as lib:
        assert 1 <= len(lib.videos()) <= 16  # two batches
        whole(lib)
        again = statuses(lib, films)
        assert len(again) == 30 and set(again.values()) == {"indexed", "unchanged"}
        whole(lib)


def test_an_error_of_the_caller_winds_up_before_the_lock_is_released(films: Path, lib: Library) -> None:
    source = clip(films.parent / "source.mp4", 1)
    for number in range(20):
        remux(source, films / f"{number:02}.mp4", str(number))

    def on_file(_: Indexed) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        lib.index(films, on_file=on_file)
    assert caught.tb is not None  # which holds the frames of the run, so that nothing was cleaned up by chance
    kept = len(lib.videos())
    assert kept >= 1
    whole(lib)
    assert list(statuses(lib, films).values()).count("unchanged") == kept


@pytest.mark.parametrize("where", ["add", "commit", "archive", "frame"])
@pytest.mark.parametrize("after", [False, True])
def test_an_interrupt_in_the_middle_of_a_write(
    films: Path, lib: Library, monkeypatch: pytest.MonkeyPatch, where: str, after: bool
) -> None:
    """Ctrl-C may come between any two steps of a write: nothing may be there twice, or in part."""
    a = clip(films / "a.mp4", 1, 2, 3)
    run(lib, films)
    clip(films / "b.mp4", 4, 5)
    target: Any = {"add": lib._opened(), "commit": lib._opened()}.get(where, FrameWriter)
    name = {"archive": "commit", "frame": "add"}.get(where, where)
    real, calls = getattr(target, name), [0]

    def interrupted(*arguments: Any) -> None:
        calls[0] += 1
        if calls[0] > 1:
            real(*arguments)
            return
        if after:
            real(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(target, name, interrupted)
    with pytest.raises(KeyboardInterrupt):
        lib.index(films)
    assert calls[0] >= 1
    monkeypatch.undo()
    whole(lib)
    assert identity(a) in holdings(lib)
    after_all = statuses(lib, films)
    assert after_all["a.mp4"] == "unchanged" and after_all["b.mp4"] in ("indexed", "unchanged")
    whole(lib)
    assert len(lib.videos()) == 2


def test_closing_the_stream_keeps_what_is_finished(films: Path, lib: Library) -> None:
    source = clip(films.parent / "source.mp4", 1)
    for number in range(10):
        remux(source, films / f"{number}.mp4", str(number))
    run(lib, films / "0.mp4")
    stream = ingest(
        [films], store=lib._opened(), frames=lib.frames, encoder=encoder(), settings=IngestSettings(),
        progress=Progress(),
    )  # fmt: skip
    assert next(stream).status == "unchanged"
    first = next(stream)
    assert first.status == "indexed"
    stream.close()
    whole(lib)
    assert {first.video_id, identity(films / "0.mp4")} <= holdings(lib).keys()


def test_leftovers_of_a_killed_run_are_removed_though_their_file_is_gone(lib: Library, films: Path) -> None:
    clip(films / "a.mp4", 1)
    run(lib, films)
    lib.frames.writer("ab" * 16).add(0.0, b"x")  # killed while it wrote
    lost = lib.frames.writer("cd" * 16)
    lost.commit()  # killed between the archive and the store
    run(lib, films)
    whole(lib)


def test_progress_counts(lib: Library, films: Path) -> None:
    clip(films / "a.mp4", 1, 2)
    clip(films / "b.mp4", 3)
    (films / "bad.mp4").write_text("no video")
    progress = Progress()
    lib.index(films, progress=progress)
    assert (progress.files, progress.files_done) == (3, 3)
    assert progress.fraction == 1.0 and progress.current == {}
    assert progress.video_seconds == pytest.approx(3.0) == progress.seconds_done
    assert progress.load.seconds > 0 and progress.encode.seconds > 0 and progress.write.seconds > 0
    assert progress.limit in ("decode", "encode", "write")


def test_the_same_vectors_whatever_the_batches(films: Path, tmp_path: Path) -> None:
    for number in range(4):
        clip(films / f"{number}.mp4", *range(10 * number, 10 * number + number + 1))
    found = []
    for batch, workers in ((1, 1), (16, 2)):
        settings = Settings(batch=batch, workers=workers)
        with Library.open(tmp_path / f"lib{batch}", settings=settings, encoder=encoder()) as lib:
            run(lib, films)
            store = lib._opened()
            found.append({(s.name, v.id): store.vectors(s.name, v.id) for s in store.spaces() for v in lib.videos()})
    assert found[0].keys() == found[1].keys() and len(found[0]) == 12
    for key, rows in found[0].items():
        assert np.array_equal(rows.at, found[1][key].at)
        np.testing.assert_allclose(rows.vectors, found[1][key].vectors, atol=2e-3)  # kept as float16


# ------------------------------------------------------------------------------------------------------------ memory

DIES = """
import os, sys
from footage import Library
with Library.open(sys.argv[2]) as lib:
    lib._opened().add = lambda rows: os._exit(9)  # the old samples are gone, the new ones not here yet
    lib.index(sys.argv[1], every=0.5)
"""

INDEX = """
import sys
from footage import Library
with Library.open(sys.argv[2]) as lib:
    results = lib.index(sys.argv[1])
print(sum(r.status == "indexed" for r in results))
[most] = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(most)
"""


def peak(folder: Path, library: Path, expected: int) -> int:
    """Most bytes resident while a folder is indexed, as the system noted them: whoever looks now and then misses it."""
    command = [sys.executable, "-c", INDEX, str(folder), str(library)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    count, most = done.stdout.split()
    assert int(count) == expected
    return int(most) << 10


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_memory_is_flat_in_the_number_of_files(films: Path, tmp_path: Path) -> None:
    source = clip(tmp_path / "source.mp4", 1)
    for number in range(300):
        remux(source, films / f"{number // 100}" / f"{number}.mp4", str(number))
    few = tmp_path / "few"
    few.mkdir()
    for number in range(10):
        shutil.copy(films / "0" / f"{number}.mp4", few)
    small, large = peak(few, tmp_path / "a", 10), peak(films, tmp_path / "b", 300)
    assert large - small < 150 << 20, (small >> 20, large >> 20)
    assert large < 800 << 20


def test_a_run_that_is_drained_finishes_what_is_begun(lib: Library, films: Path) -> None:
    for number in range(8):
        clip(films / f"{number}.mp4", number)
    progress = Progress()
    progress.give_way = progress.draining.set  # called at the first frame
    results = lib.index([films], progress=progress)
    done = {r.path for r in results if r.status == "indexed"}
    assert 1 <= len(done) < 8 and done == {v.path for v in lib.videos()}
    whole(lib)
    assert sorted(statuses(lib, films).values()) == ["indexed"] * (8 - len(done)) + ["unchanged"] * len(done)
    whole(lib)


def test_what_is_left_is_told_by_the_bytes_that_ask_for_work(lib: Library, films: Path) -> None:
    progress = Progress(files=266, size_bytes=1000, bytes_done=100)
    assert progress.seconds_left(10) == pytest.approx(90)
    progress.current["long.mp4"] = AtWork(40.0, 100.0, 900)  # one long film among many short files
    assert progress.fraction == pytest.approx(0.46) and progress.seconds_left(46) == pytest.approx(54)
    progress.current["no header.ts"] = AtWork(7.0, 0.0, 10)
    assert progress.fraction == pytest.approx(0.46)
    progress.bytes_skipped = 100
    assert progress.seconds_left(36) == pytest.approx(54)
    progress.current.clear()
    assert progress.seconds_left(1) is None and Progress().seconds_left(1) is None  # nothing to tell it by
    progress.bytes_done = 1000
    assert progress.seconds_left(1) is None

    clip(films / "a.mp4", 1, 2)
    lib.index(films)
    again = Progress()
    lib.index(films, progress=again)
    assert again.bytes_skipped == again.bytes_done == again.size_bytes > 0
    seen: list[AtWork] = []
    clip(films / "b.mp4", 3)
    once = Progress(give_way=lambda: seen.extend(once.current.values()))
    lib.index(films, progress=once)
    assert once.bytes_skipped == again.size_bytes < once.size_bytes
    assert seen and {file.size_bytes for file in seen} == {(films / "b.mp4").stat().st_size}
