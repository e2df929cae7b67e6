"""The key-frame store: what is written is read, atomically, and nothing strange becomes part of a path."""

from __future__ import annotations

import os
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from media_samples import corners, quadrants

from footage.errors import NotIndexed
from footage.frames import FrameStore, decode_jpeg, jpeg, thumbnail_size

ID = "ab" * 16


def filled(store: FrameStore, video_id: str = ID, times: tuple[float, ...] = (0.0, 1.5, 1001 / 30000)) -> None:
    writer = store.writer(video_id)
    for time in times:
        writer.add(time, f"picture at {time:.6f}".encode())
    writer.commit()


def files(root: Path) -> list[str]:
    return sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file())


@pytest.mark.parametrize(
    ("size", "small"),
    [((1920, 1080), (320, 180)), ((1080, 1920), (180, 320)), ((100, 50), (100, 50)), ((4000, 1), (320, 1))],
)
def test_thumbnail_size(size: tuple[int, int], small: tuple[int, int]) -> None:
    assert thumbnail_size(*size) == small


def test_jpeg_there_and_back() -> None:
    picture = decode_jpeg(jpeg(quadrants(320, 180)))
    assert picture.shape == (180, 320, 3) and picture.dtype == np.uint8
    assert corners(picture) == "rgbw" == corners(quadrants())


def test_what_is_written_is_read(tmp_path: Path) -> None:
    store = FrameStore(tmp_path)
    filled(store)
    assert store.times(ID) == [0.0, 0.033367, 1.5]
    assert [t for t, _ in store.read_all(ID)] == store.times(ID)
    assert dict(store.read_all(ID))[1.5] == b"picture at 1.500000"
    assert store.ids() == {ID}


@pytest.mark.parametrize(
    ("at", "time"), [(0.0, 0), (1001 / 30000, 0.033367), (1.4999, 0.033367), (1.5, 1.5), (99.0, 1.5), (-3.0, 0)]
)
def test_a_time_finds_the_frame_that_stands_there(tmp_path: Path, at: float, time: float) -> None:
    store = FrameStore(tmp_path)
    filled(store)
    assert store.read(ID, at) == f"picture at {time:.6f}".encode()


def test_nothing_is_visible_before_the_commit(tmp_path: Path) -> None:
    store = FrameStore(tmp_path)
    writer = store.writer(ID)
    writer.add(0.0, b"x")
    assert store.ids() == set() and len(store.leftovers()) == 1
    with pytest.raises(NotIndexed):
        store.times(ID)
    writer.commit()
    assert store.ids() == {ID} and store.leftovers() == []


def test_the_old_archive_stays_until_the_commit(tmp_path: Path) -> None:
    store = FrameStore(tmp_path)
    filled(store)
    writer = store.writer(ID)
    writer.add(7.0, b"new")
    assert store.times(ID) == [0.0, 0.033367, 1.5]
    writer.commit()
    assert store.times(ID) == [7.0] and store.read(ID, 7) == b"new"


def test_discard_leaves_nothing_even_in_the_middle_of_an_add(tmp_path: Path) -> None:
    store = FrameStore(tmp_path)
    filled(store)
    before = files(tmp_path)
    writer = store.writer(ID)
    writer.add(1.0, b"x")
    writer._zip.open("half.jpg", "w").write(b"ha")  # as if Ctrl-C came here
    writer.discard()
    assert files(tmp_path) == before and len(store.times(ID)) == 3


def test_a_leftover_of_a_killed_run_is_overwritten(tmp_path: Path) -> None:
    store = FrameStore(tmp_path)
    filled(store)
    path = tmp_path / "ab" / f"{ID}.partial"
    path.write_bytes(b"PK half of something")
    filled(store, times=(4.0,))
    assert store.times(ID) == [4.0] and store.leftovers() == []


def test_sweep_keeps_what_is_known(tmp_path: Path) -> None:
    store, other = FrameStore(tmp_path), "cd" * 16
    filled(store)
    filled(store, other)
    store.writer("ef" * 16).add(0, b"x")
    store.sweep({ID, "12" * 16})
    assert files(tmp_path) == [f"ab/{ID}.zip"]
    FrameStore(tmp_path / "none").sweep(set())  # no library yet


def test_delete(tmp_path: Path) -> None:
    store = FrameStore(tmp_path)
    filled(store)
    store.delete([ID, "cd" * 16])
    assert store.ids() == set()
    with pytest.raises(NotIndexed):
        store.read(ID, 0)


@pytest.mark.parametrize("damage", ["truncated", "empty", "gone", "no frames"])
def test_a_broken_archive_is_told(tmp_path: Path, damage: str) -> None:
    store = FrameStore(tmp_path)
    filled(store)
    path = tmp_path / "ab" / f"{ID}.zip"
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-30])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "gone":
        path.unlink()
    else:
        zipfile.ZipFile(path, "w").close()
    with pytest.raises(NotIndexed):
        store.read(ID, 0)


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b", "..", "", "x.zip", "a\0b"])
def test_only_ids_become_paths(tmp_path: Path, name: str) -> None:
    with pytest.raises(NotIndexed):
        FrameStore(tmp_path).read(name, 0)
    with pytest.raises(NotIndexed):
        FrameStore(tmp_path).delete([name])


def test_the_directory_of_an_archive_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For hours of video it is larger than the pictures that are asked for."""
    store = FrameStore(tmp_path)
    filled(store, times=tuple(n / 10 for n in range(1000)))
    opened: list[object] = []
    real = zipfile.ZipFile.__init__
    monkeypatch.setattr(zipfile.ZipFile, "__init__", lambda self, *a, **k: (opened.append(a), real(self, *a, **k))[1])
    every = dict(store.read_all(ID))
    assert list(store.read_some(ID, [3.0, 0.05, 99.9, 3.0])) == [every[3.0], every[0.0], every[99.9], every[3.0]]
    assert all(store.read(ID, at) == every[at] for at in (0.0, 50.0, 99.9)) and len(opened) == 1
    with pytest.raises(NotIndexed):
        list(store.read_some("cd" * 16, [0.0]))


def test_a_damaged_frame_is_no_frame(tmp_path: Path) -> None:
    store = FrameStore(tmp_path)
    filled(store)
    path = tmp_path / "ab" / f"{ID}.zip"
    data = bytearray(path.read_bytes())
    names = [m.start() for m in re.finditer(rb"PK\x03\x04", data)]
    data[names[1] - 1] ^= 1  # the last byte of the first frame
    data[names[1]] ^= 1  # the mark of the one written next, of 1.5
    path.write_bytes(data)
    os.utime(path, (1, 1))
    for at in (0.0, 1.5):
        with pytest.raises(zipfile.BadZipFile):
            store.read(ID, at)
    assert store.read(ID, 0.04)
