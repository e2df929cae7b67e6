"""Which files are seen under a path, and what the library makes of names, copies and moves."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from footage.catalog import Catalog, Job, Refused, digest, satisfies, scan
from footage.errors import MediaNotFound, UnsupportedMedia
from footage.places import absolute, is_gone
from footage.sampling import SamplingSettings
from footage.types import MediaFile, Video

posix = pytest.mark.skipif(sys.platform == "win32", reason="links, pipes and such names are POSIX")
DEFAULT = SamplingSettings()


def touch(path: Path, content: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def seen(*paths: str | Path, skip: Path | None = None, root: Path | None = None) -> list[str]:
    found = [item.file.path for item in scan(paths, skip=skip) if isinstance(item, Job)]
    return [os.path.relpath(f, root) for f in found] if root else found


def refusals(*paths: str | Path) -> list[Refused]:
    return [item for item in scan(paths) if isinstance(item, Refused)]


def nothing() -> None:
    pass


# -------------------------------------------------------------------------------------------------------------- scan


def test_files_are_listed_sorted_and_hidden_ones_left_out(tmp_path: Path) -> None:
    for name in ("b.mp4", "a/z.mp4", "a/b/c.mp4", "notes.txt", ".hidden.mp4", "._b.mp4", ".git/x.mp4", "a/.x/y.mp4"):
        touch(tmp_path / name)
    (tmp_path / "empty").mkdir()
    assert seen(tmp_path, root=tmp_path) == ["a/b/c.mp4", "a/z.mp4", "b.mp4", "notes.txt"]


def test_a_hidden_file_that_is_named_is_meant(tmp_path: Path) -> None:
    file = touch(tmp_path / ".hidden.mp4")
    assert seen(file) == [file.as_posix()]


def test_a_file_is_listed_once_and_is_named_if_it_is_named_anywhere(tmp_path: Path) -> None:
    file, other = touch(tmp_path / "a.txt"), touch(tmp_path / "b.txt")
    jobs = [item for item in scan([tmp_path, file, file, tmp_path / "." / "a.txt"]) if isinstance(item, Job)]
    assert [(job.file.path, job.named) for job in jobs] == [(file.as_posix(), True), (other.as_posix(), False)]


def test_facts_of_a_file(tmp_path: Path) -> None:
    file = touch(tmp_path / "a.mp4", b"12345")
    os.utime(file, ns=(1, 1_234_567_890_123_456_789 // 100 * 100))
    (job,) = (item for item in scan([file]) if isinstance(item, Job))
    assert job.file == MediaFile(file.as_posix(), 5, file.stat().st_mtime_ns)


def test_the_library_is_left_out_under_whatever_name(tmp_path: Path) -> None:
    library = tmp_path / "films" / "library"
    touch(library / "inside.mp4")
    touch(tmp_path / "films" / "a.mp4")
    assert seen(tmp_path / "films", skip=library, root=tmp_path) == ["films/a.mp4"]
    assert len(seen(tmp_path / "films", skip=tmp_path / "other")) == 2
    if sys.platform != "win32":
        (tmp_path / "link").symlink_to(tmp_path / "films")
        assert seen(tmp_path / "films", skip=tmp_path / "link" / "library", root=tmp_path) == ["films/a.mp4"]


@posix
def test_links(tmp_path: Path) -> None:
    film = touch(tmp_path / "real" / "film.mp4")
    folder = tmp_path / "folder"
    touch(folder / "sub" / "own.mp4")
    (folder / "link.mp4").symlink_to(film)
    (folder / "dangling.mp4").symlink_to(tmp_path / "nowhere.mp4")
    (folder / "loop.mp4").symlink_to(folder / "loop.mp4")
    (folder / "sub" / "up").symlink_to(folder)  # a circle
    (folder / "elsewhere").symlink_to(tmp_path / "real")
    assert seen(folder, root=folder) == ["link.mp4", "sub/own.mp4"]
    (tmp_path / "root").symlink_to(folder)
    assert seen(tmp_path / "root", root=tmp_path) == ["root/link.mp4", "root/sub/own.mp4"]


@posix
def test_what_is_no_file_is_listed_only_when_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    monkeypatch.chdir(tmp_path)  # the path of a socket is short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket.mp4")
        assert seen(tmp_path) == []
        assert len(seen(tmp_path / "pipe.mp4", tmp_path / "socket.mp4")) == 2


def test_paths_that_are_not_there_do_not_stop_the_others(tmp_path: Path) -> None:
    file = touch(tmp_path / "a.mp4")
    missing, below, long = tmp_path / "no.mp4", file / "b.mp4", tmp_path / ("x" * 300)
    found = list(scan([missing, below, long, file]))
    assert isinstance(found[-1], Job) and len(found) == 4
    errors = [item.failure.error for item in found[:-1] if isinstance(item, Refused)]
    assert all(isinstance(error, MediaNotFound) for error in errors)
    assert errors[0].message == f"no such file or folder: {missing}"
    assert errors[1].message == f"no such file or folder: {below}"
    assert errors[2].message.startswith("cannot read: ")
    assert [item.failure.error.message for item in refusals("a\0b")] == ["no such file or folder: a\0b"]


@posix
def test_dangling_links_and_loops_that_are_named(tmp_path: Path) -> None:
    (tmp_path / "dangling.mp4").symlink_to(tmp_path / "nowhere")
    (tmp_path / "loop.mp4").symlink_to(tmp_path / "loop.mp4")
    dangling, loop = refusals(tmp_path / "dangling.mp4", tmp_path / "loop.mp4")
    assert dangling.failure.error.message.startswith("a link to nothing: ")
    assert loop.failure.error.message.startswith("cannot read: ")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems keep such names out")
def test_a_name_that_is_not_unicode_is_refused(tmp_path: Path) -> None:
    raw = os.fsencode(tmp_path) + b"/caf\xe9.mp4"
    os.close(os.open(raw, os.O_CREAT | os.O_WRONLY))
    (refused,) = refusals(tmp_path)
    assert isinstance(refused.failure.error, UnsupportedMedia) and "caf\\udce9" in refused.failure.error.message
    assert not refused.job.named and refusals(os.fsdecode(raw))[0].job.named


@pytest.mark.skipif(sys.platform != "linux", reason="other systems allow no such depth")
def test_folders_deeper_than_the_limit_of_recursion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    depth = sys.getrecursionlimit() + 100
    for _ in range(depth):
        Path("d").mkdir()
        os.chdir("d")
    touch(Path("deep.mp4"))
    os.chdir(tmp_path)
    try:
        assert [Path(p).name for p in seen(tmp_path)] == ["deep.mp4"]
    finally:  # pytest's own way of cleaning up recurses
        os.chdir("/".join("d" * depth))
        Path("deep.mp4").unlink()
        for _ in range(depth):
            os.chdir("..")
            Path("d").rmdir()


def test_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute("a/../b.mp4") == Path.cwd() / "b.mp4"
    assert absolute("~/x") == Path.home() / "x"


@posix
def test_gone_is_not_the_same_as_out_of_reach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = touch(tmp_path / "a.mp4")
    assert not is_gone(str(file)) and is_gone(str(tmp_path / "b.mp4")) and is_gone(str(file / "b.mp4"))

    def denied(*_: object, **__: object) -> os.stat_result:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "stat", denied)
    assert not is_gone(str(tmp_path / "b.mp4"))


# ------------------------------------------------------------------------------------------------------------ digest


def test_digest_is_the_content(tmp_path: Path) -> None:
    beats: list[int] = []
    a, b = touch(tmp_path / "a", b"abc"), touch(tmp_path / "b", b"abc")
    # the first 128 bits of SHA-256 of "abc", FIPS 180-4 example B.1
    assert digest(str(a), nothing) == digest(str(b), nothing) == "ba7816bf8f01cfea414140de5dae2223"
    touch(b, b"\0" * (3 << 20))
    assert digest(str(b), lambda: beats.append(1)) != digest(str(a), nothing)
    assert len(beats) >= 3


def test_digest_of_what_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(MediaNotFound, match="cannot read"):
            digest(str(path), nothing)


# ----------------------------------------------------------------------------------------------------------- catalog


def on_disk(path: Path) -> MediaFile:
    facts = path.stat()
    return MediaFile(path.as_posix(), facts.st_size, facts.st_mtime_ns)


def video(video_id: str, *files: MediaFile, sampling: str = DEFAULT.fingerprint) -> Video:
    return Video(video_id, files, 1.0, 16, 9, 25.0, "h264", "mp4", 0.0, 3, sampling)


def test_unchanged_by_size_and_time(tmp_path: Path) -> None:
    file = on_disk(touch(tmp_path / "a"))
    catalog = Catalog([video("v", file)])
    assert catalog.unchanged(Job(file, False), DEFAULT) == "v"
    assert catalog.unchanged(Job(MediaFile(file.path, 2, file.mtime_ns), False), DEFAULT) is None
    assert catalog.unchanged(Job(MediaFile(file.path, 1, file.mtime_ns + 1), False), DEFAULT) is None
    assert catalog.unchanged(Job(MediaFile(file.path + "b", 1, file.mtime_ns), False), DEFAULT) is None
    assert catalog.unchanged(Job(file, False), SamplingSettings(every=2)) is None


def test_a_content_is_claimed_once(tmp_path: Path) -> None:
    catalog = Catalog([video("known")])
    assert not catalog.claim("known", "/a", DEFAULT)
    assert catalog.claim("known", "/a", SamplingSettings(every=2))
    assert catalog.claim("new", "/b", DEFAULT) and not catalog.claim("new", "/c", DEFAULT)
    assert catalog.claimed("/b") == "new" and catalog.claimed("/c") == ""
    catalog.release("new")
    assert catalog.claim("new", "/c", DEFAULT)


def test_a_fast_pass_is_content_with_a_full_one() -> None:
    full, fast = SamplingSettings(), SamplingSettings(fast=True)
    assert satisfies(full.fingerprint, fast) and satisfies(fast.fingerprint, fast)
    assert not satisfies(fast.fingerprint, full) and not satisfies(SamplingSettings(every=2).fingerprint, fast)


def test_a_copy_is_a_second_path_and_no_move(tmp_path: Path) -> None:
    a, b = on_disk(touch(tmp_path / "a")), on_disk(touch(tmp_path / "b"))
    catalog = Catalog([video("v", a)])
    changed, moved = catalog.assign(b, "v")
    assert [v.files for v in changed] == [(a, b)] and not moved
    assert catalog.assign(b, "v") == ([], False)


def test_a_move(tmp_path: Path) -> None:
    a = on_disk(touch(tmp_path / "a"))
    (tmp_path / "a").rename(tmp_path / "b")
    b = on_disk(tmp_path / "b")
    catalog = Catalog([video("v", a)])
    changed, moved = catalog.assign(b, "v")
    assert [v.files for v in changed] == [(b,)] and moved and set(catalog.paths) == {b.path}


def test_a_vanished_copy_is_no_move_of_the_one_that_stayed(tmp_path: Path) -> None:
    a, b = on_disk(touch(tmp_path / "a")), on_disk(touch(tmp_path / "b"))
    (tmp_path / "b").unlink()
    catalog = Catalog([video("v", a, b)])
    assert catalog.assign(a, "v") == ([], False)
    assert b.path in catalog.paths  # it is for prune to forget it
    assert catalog.forget(b.path).files == (a,)


def test_files_that_swap_their_names_lose_nothing(tmp_path: Path) -> None:
    a, b = on_disk(touch(tmp_path / "a", b"1")), on_disk(touch(tmp_path / "b", b"22"))
    catalog = Catalog([video("one", a), video("two", b)])
    (tmp_path / "a").rename(tmp_path / "c")
    (tmp_path / "b").rename(tmp_path / "a")
    (tmp_path / "c").rename(tmp_path / "b")
    assert catalog.assign(on_disk(tmp_path / "a"), "two")[1]
    assert catalog.videos["one"].files == ()  # for the moment
    assert catalog.assign(on_disk(tmp_path / "b"), "one")[1]
    assert catalog.homeless() == []
    assert [v.files for v in catalog.videos.values()] == [(on_disk(tmp_path / "b"),), (on_disk(tmp_path / "a"),)]


def test_a_changed_content_leaves_the_old_one_without_a_home(tmp_path: Path) -> None:
    a = on_disk(touch(tmp_path / "a"))
    catalog = Catalog([video("old", a)])
    now = on_disk(touch(tmp_path / "a", b"changed"))
    catalog.adopt(video("new", now))
    changed, _ = catalog.assign(now, "new")
    assert {v.id: v.files for v in changed} == {"old": (), "new": (now,)}
    assert catalog.homeless() == ["old"] and set(catalog.videos) == {"new"}


def test_a_video_made_anew_keeps_its_other_paths(tmp_path: Path) -> None:
    a, b = on_disk(touch(tmp_path / "a")), on_disk(touch(tmp_path / "b"))
    catalog = Catalog([video("v", a, b, sampling="other")])
    catalog.adopt(video("v", a))
    assert catalog.videos["v"].files == (a, b) and catalog.videos["v"].sampling == DEFAULT.fingerprint
    catalog.drop("v")
    assert catalog.videos == {} and catalog.paths == {}
