"""What is heard where: fingerprints of sound, on sound that is made here and on real clips."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest

from footage.errors import MediaNotFound, NotIndexed, UnsupportedMedia
from footage.media import listen
from footage.sounds import HOP, RATE, STEP, Landmarks, SoundIndex, SoundStore, landmarks

if TYPE_CHECKING:
    from footage.types import Float32

IDS = [f"{n:032x}" for n in range(20)]


def music(seed: int, seconds: float, rate: int = RATE) -> Float32:
    """Notes with overtones, at random times: no two seeds play the same."""
    random = np.random.default_rng(seed)
    out = np.zeros(int(seconds * rate), np.float32)
    for begin in np.arange(0, seconds - 0.3, 0.18):
        length = random.uniform(0.15, 0.6)
        t = np.arange(int(min(length, seconds - begin) * rate)) / rate
        pitch = 110 * 2 ** (random.integers(0, 36) / 12)
        note = sum(np.sin(2 * np.pi * pitch * k * t) / k for k in range(1, 6)) * np.exp(-4 * t)
        at = int(begin * rate)
        out[at : at + len(t)] += (0.15 * note).astype(np.float32)
    return out


def speech(seed: int, seconds: float) -> Float32:
    """Noise in syllables, filtered: what lies over music."""
    random = np.random.default_rng(seed)
    noise = random.normal(0, 1, int(seconds * RATE)).astype(np.float32)
    noise = np.convolve(noise, np.ones(6) / 6, "same")
    t = np.arange(len(noise)) / RATE
    return (noise * (0.5 + 0.5 * np.sin(2 * np.pi * 4 * t)) ** 2 * 0.2).astype(np.float32)


def of(*blocks: Float32) -> Landmarks:
    return landmarks(blocks)


def encoded(path: Path, sound: Float32, codec: str = "aac", bit_rate: int = 48_000, rate: int = RATE) -> Path:
    """A file of the sound alone."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=rate)
        stream.layout = "mono"
        stream.bit_rate = bit_rate
        frame = av.AudioFrame.from_ndarray(sound[None], "fltp", "mono")
        frame.sample_rate = rate
        for part in av.AudioResampler(stream.format.name, "mono", rate, 1024).resample(frame):
            out.mux(stream.encode(part))
        out.mux(stream.encode(None))
    return path


@pytest.fixture
def store(tmp_path: Path) -> SoundStore:
    """A library of ten pieces of 40 s."""
    kept = SoundStore(tmp_path / "sounds")
    for n in range(10):
        kept.write(IDS[n], of(music(n, 40)))
    return kept


def test_a_fingerprint_does_not_depend_on_the_blocks() -> None:
    sound = music(1, 150)  # longer than a chunk of the spectrogram
    whole = of(sound)
    assert len(whole) > 1000
    for size in (1000, HOP, 77_777):
        again = landmarks(np.array_split(sound, range(size, len(sound), size)))
        assert np.array_equal(again.pairs, whole.pairs) and np.array_equal(again.frames, whole.frames)


def test_neither_silence_nor_a_click_nor_nothing_has_a_fingerprint() -> None:
    assert len(of()) == len(of(np.zeros(5 * RATE, np.float32))) == len(of(np.zeros(10, np.float32))) == 0
    click = np.zeros(5 * RATE, np.float32)
    click[RATE] = 1.0
    assert len(of(click)) == 0


@pytest.mark.parametrize("begin", [0.0, 7.0, 12.345, 31.016])
def test_an_excerpt_is_found_at_its_time(store: SoundStore, begin: float) -> None:
    piece = music(4, 40)[int(begin * RATE) : int((begin + 8) * RATE)]
    (found,) = SoundIndex(store).open().heard(of(piece))
    assert found.video_id == IDS[4]
    assert found.start - found.query_start == pytest.approx(begin, abs=2 * STEP)
    assert found.query_start < 1.0 and found.query_end > 7.0
    assert found.share > 0.3


def test_re_encoded_with_speech_over_it_and_cut_out_of_something_else(store: SoundStore, tmp_path: Path) -> None:
    inside = music(6, 40)[10 * RATE : 20 * RATE] + speech(1, 10)
    sound = np.concatenate((music(77, 5), inside, music(78, 5)))
    file = encoded(tmp_path / "a.mp3", sound, "libmp3lame", 32_000)
    found = SoundIndex(store).open().heard(landmarks(listen(file)))
    assert [f.video_id for f in found] == [IDS[6]]
    assert found[0].query_start == pytest.approx(5.0, abs=0.7) and found[0].query_end == pytest.approx(15.0, abs=0.7)
    assert found[0].start - found[0].query_start == pytest.approx(5.0, abs=0.1)  # the codec's delay is in it


def test_what_is_not_there_is_not_heard(store: SoundStore) -> None:
    index = SoundIndex(store).open()
    for seed in range(100, 110):
        assert index.heard(of(music(seed, 20))) == []
    assert index.heard(of(speech(5, 30))) == []
    assert index.heard(of(music(3, 40)), without={IDS[3]}) == []
    assert index.heard(of()) == []


def test_two_pieces_in_another_order_and_one_twice(store: SoundStore) -> None:
    one, two = music(2, 40)[5 * RATE : 13 * RATE], music(8, 40)[20 * RATE : 26 * RATE]
    found = SoundIndex(store).open().heard(of(np.concatenate((two, one, two))))
    told = sorted((round(f.query_start), f.video_id, round(f.start - f.query_start)) for f in found)
    assert told == [(0, IDS[8], 20), (6, IDS[2], -1), (14, IDS[8], 6)]


def test_what_all_videos_have_in_common_is_no_evidence(tmp_path: Path) -> None:
    store = SoundStore(tmp_path)
    jingle = music(500, 4)
    for n in range(300):
        store.write(f"{n:032x}", of(np.concatenate((jingle, music(n, 3)))))
    found = SoundIndex(store).open().heard(of(np.concatenate((jingle, music(7, 3)))))
    assert found[0].video_id == f"{7:032x}" and found[0].query_end > 6
    assert len(found) <= 5  # where the jingle goes over into something else, an accident may look alike


def test_the_index_follows_the_store(store: SoundStore) -> None:
    query = of(music(3, 40)[RATE : 9 * RATE])
    index = SoundIndex(store).open(write=True)
    assert [f.video_id for f in index.heard(query)] == [IDS[3]]
    store.delete([IDS[3], IDS[5]])
    store.write(IDS[15], of(music(15, 40)))
    assert SoundIndex(store).open().heard(query) == []  # a reader writes nothing
    assert SoundIndex(store).open(write=True).heard(query) == []
    (found,) = SoundIndex(store).open().heard(of(music(15, 40)[RATE : 9 * RATE]))
    assert found.video_id == IDS[15]
    store.write(IDS[3], of(music(3, 40)))
    assert [f.video_id for f in SoundIndex(store).open(write=True).heard(query)] == [IDS[3]]
    told = json.loads((store.root / "index.json").read_text())
    assert sorted(v for v in told["videos"] if v) == sorted({*IDS[:10], IDS[15]} - {IDS[5]})


@pytest.mark.parametrize("spoil", ["index.npy", "index.json"])
@pytest.mark.parametrize("how", ["cut", "gone"])
def test_a_broken_index_is_made_anew(store: SoundStore, spoil: str, how: str) -> None:
    SoundIndex(store).open(write=True)
    file = store.root / spoil
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])
    if how == "gone":
        file.unlink()
    assert SoundIndex(store).open().heard(of(music(3, 40)[RATE : 9 * RATE]))[0].video_id == IDS[3]


def test_a_fingerprint_that_is_broken_or_missing(store: SoundStore) -> None:
    with pytest.raises(NotIndexed, match="no fingerprint"):
        store.read(IDS[19])
    with pytest.raises(NotIndexed, match="no such video"):
        store.read("../secret")
    path = store.root / IDS[1][:2] / f"{IDS[1]}.npy"
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(NotIndexed, match="no fingerprint"):
        store.read(IDS[1])
    (path.parent / "x.partial").write_bytes(b"half")
    store.sweep(set(IDS[:5]))
    assert store.ids() == set(IDS[:5]) and not list(store.root.glob("*/*.partial"))
    assert SoundIndex(store).open().heard(of(music(3, 40)))[0].video_id == IDS[3]  # the broken one is left out


def test_listening_follows_the_clock_of_the_file(tmp_path: Path) -> None:
    sound = music(1, 6, 48_000)
    file = encoded(tmp_path / "a.m4a", sound, "aac", 128_000, 48_000)
    blocks = list(listen(file))
    assert all(block.dtype == np.float32 and block.ndim == 1 for block in blocks)
    heard = np.concatenate(blocks)
    assert len(heard) == pytest.approx(6 * RATE, abs=0.1 * RATE)
    ours = np.convolve(sound, np.ones(6) / 6, "same")[::6]
    n = min(len(heard), len(ours))
    shift = np.argmax(np.correlate(heard[RATE : 3 * RATE], ours[RATE : 3 * RATE], "full")) - 2 * RATE + 1
    assert abs(shift) <= 0.03 * RATE and n > 5 * RATE


def test_what_cannot_be_listened_to(tmp_path: Path) -> None:
    with pytest.raises(MediaNotFound):
        list(listen(tmp_path / "none.mp4"))
    (tmp_path / "text.mp4").write_text("no video at all " * 100)
    with pytest.raises(UnsupportedMedia):
        list(listen(tmp_path / "text.mp4"))
