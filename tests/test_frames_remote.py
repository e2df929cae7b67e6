"""Key frames and renditions in a bucket."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from clips import clip, encoder, statuses
from object_store import Store

from footage.config import Settings
from footage.errors import ConfigError, NotIndexed, StoreUnavailable
from footage.frames.remote import RemoteFrames, open_frames
from footage.library import Library
from footage.places import system
from footage.playback import Renditions

ID = "ab" * 16


def write(frames: RemoteFrames, *times: float) -> None:
    writer = frames.writer(ID)
    for at in times:
        writer.add(at, b"jpeg of %d" % at)
    writer.attach("more", b"beside")
    writer.commit()


def test_the_same_store_as_on_disk(s3: Store, tmp_path: Path) -> None:
    frames = RemoteFrames(s3.url("frames"), tmp_path)
    assert frames.ids() == set()
    with pytest.raises(NotIndexed):
        frames.times(ID)
    writer = frames.writer(ID)
    writer.add(0.0, b"x")
    assert frames.ids() == set() and len(frames.leftovers()) == 1, "nothing is there before it is whole"
    writer.discard()
    write(frames, 0.0, 1.5)
    assert frames.ids() == {ID} and frames.leftovers() == [] and not list(tmp_path.rglob("*.zip"))
    assert frames.times(ID) == [0.0, 1.5]
    assert frames.read(ID, 1.2) == b"jpeg of 0" and frames.read(ID, 9) == b"jpeg of 1"
    assert list(frames.read_all(ID)) == [(0.0, b"jpeg of 0"), (1.5, b"jpeg of 1")]
    assert frames.attached(ID, "more") == b"beside" and frames.attached(ID, "none") is None
    s3.gate.clear()
    assert frames.read(ID, 1.2) == b"jpeg of 0" and not s3.gate.requests, "what was read is remembered"
    frames.delete([ID, "cd" * 16])
    assert frames.ids() == set()
    with pytest.raises(NotIndexed):
        frames.read(ID, 0)
    with pytest.raises(NotIndexed):
        frames.read("../x", 0)


def test_a_service_that_is_away_is_no_lost_frame(s3: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = RemoteFrames(s3.url("frames"), tmp_path)
    write(frames, 0.0)
    monkeypatch.setattr(system, "PATIENCE", 1.5)
    s3.gate.deny = lambda _: True
    for ask in (
        lambda: frames.read(ID, 0),
        frames.ids,
        lambda: frames.delete([ID]),
        lambda: write(frames, 1),
    ):
        with pytest.raises(StoreUnavailable, match="key frames"):
            ask()


def test_a_library_keeps_its_frames_in_the_bucket(s3: Store, tmp_path: Path) -> None:
    settings = replace(Settings(), frames=s3.url("frames"))
    films = clip(tmp_path / "films" / "a.mp4", 0, 1, 2).parent
    with Library.open(tmp_path / "one", settings=settings, encoder=encoder()) as lib:
        assert statuses(lib, films) == {"a.mp4": "indexed"}
        (video,) = lib.videos()
        assert lib.doctor() == [] and lib.frames.ids() == {video.id}
        assert lib.thumbnail(video.id, 1.2).startswith(b"\xff\xd8")
        assert len(lib.frame_times(video.id)) == video.samples
        assert not list((tmp_path / "one").rglob("*.zip"))
    assert json.loads((tmp_path / "one" / "frames.json").read_text())["url"] == s3.url("frames")
    with Library.open(tmp_path / "one", encoder=encoder()) as again:  # the setting is for the new library only
        assert again.thumbnail(video.id, 1.2).startswith(b"\xff\xd8")
        assert statuses(again, films) == {"a.mp4": "unchanged"}
    with (
        Library.open(tmp_path / "two", settings=settings, encoder=encoder()) as other,
        pytest.raises(ConfigError) as no,
    ):
        other.index([films])
    assert "another library" in str(no.value)
    with Library.open(tmp_path / "one", encoder=encoder()) as again:
        again.remove(video.id)
        assert again.frames.ids() == set()


@pytest.mark.parametrize("url", ["http://h/frames", "sftp://h/frames"])
def test_frames_are_kept_where_a_file_is_whole_or_not_there(tmp_path: Path, url: str) -> None:
    films = clip(tmp_path / "films" / "a.mp4", 0).parent
    with Library.open(tmp_path / "x", settings=replace(Settings(), frames=url), encoder=encoder()) as lib:
        with pytest.raises(ConfigError, match="cannot keep"):
            lib.index([films])
        assert not lib.exists()


def test_without_a_note_they_lie_beside_the_vectors(tmp_path: Path) -> None:
    assert open_frames(tmp_path).url == ""


def test_what_one_server_made_playable_another_fetches(s3: Store, tmp_path: Path) -> None:
    films = clip(tmp_path / "films" / "a.mp4", 0, 1, 2).parent
    with Library.open(tmp_path / "lib", encoder=encoder()) as lib:
        lib.index([films])
        (video,) = lib.videos()
    one, two = (Renditions(tmp_path / n, 1 << 30, shared=s3.url("frames/renditions")) for n in ("1", "2"))
    with one.open(video, 0.0, 1.0) as a, two.open(video, 0.0, 1.0) as b:
        assert a.read() == b.read()
    assert (one.builds, two.builds, two.fetched) == (1, 0, 1)
    s3.gate.deny = lambda _: True
    with one.open(video, 1.0, 2.0) as a:
        assert len(a.read()) > 1000
    assert one.builds == 2, "without the bucket it is made here"
