"""What is heard where: fingerprints of sound, on sound that is made here and on real clips."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest

from footage.errors import MediaNotFound, UnsupportedMedia
from footage.media import listen
from footage.sounds import ENTRY, HOP, RATE, STEP, Landmarks, SoundIndex, landmarks, packed, unpacked

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


@pytest.fixture(scope="module")
def pieces() -> dict[str, Landmarks]:
    """Ten pieces of 40 s."""
    return {IDS[n]: of(music(n, 40)) for n in range(10)}


@pytest.fixture
def index(pieces: dict[str, Landmarks], tmp_path: Path) -> SoundIndex:
    return SoundIndex(tmp_path).open(pieces, pieces.get)


@pytest.fixture(scope="module")
def voiced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve seconds of pictures with music."""
    path = tmp_path_factory.mktemp("voiced") / "voiced.mp4"
    sound = np.repeat(music(42, 12), 2)
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=10)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = out.add_stream("aac", rate=16_000)
        audio.layout = "mono"
        for n in range(120):
            picture = np.full((48, 64, 3), 2 * n, np.uint8)
            picture[:, (n % 64) :] //= 2
            out.mux(video.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        out.mux(video.encode(None))
        frame = av.AudioFrame.from_ndarray(sound[None], "fltp", "mono")
        frame.sample_rate = 16_000
        for part in av.AudioResampler("fltp", "mono", 16_000, 1024).resample(frame):
            out.mux(audio.encode(part))
        out.mux(audio.encode(None))
    return path


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
def test_an_excerpt_is_found_at_its_time(index: SoundIndex, begin: float) -> None:
    piece = music(4, 40)[int(begin * RATE) : int((begin + 8) * RATE)]
    (found,) = index.heard(of(piece))
    assert found.video_id == IDS[4]
    assert found.start - found.query_start == pytest.approx(begin, abs=2 * STEP)
    assert found.query_start < 1.0 and found.query_end > 7.0
    assert found.share > 0.3


def test_re_encoded_with_speech_over_it_and_cut_out_of_something_else(index: SoundIndex, tmp_path: Path) -> None:
    inside = music(6, 40)[10 * RATE : 20 * RATE] + speech(1, 10)
    sound = np.concatenate((music(77, 5), inside, music(78, 5)))
    file = encoded(tmp_path / "a.mp3", sound, "libmp3lame", 32_000)
    found = index.heard(landmarks(listen(file)))
    assert [f.video_id for f in found] == [IDS[6]]
    assert found[0].query_start == pytest.approx(5.0, abs=0.7) and found[0].query_end == pytest.approx(15.0, abs=0.7)
    assert found[0].start - found[0].query_start == pytest.approx(5.0, abs=0.1)  # the codec's delay is in it


def test_what_is_not_there_is_not_heard(index: SoundIndex) -> None:
    for seed in range(100, 110):
        assert index.heard(of(music(seed, 20))) == []
    assert index.heard(of(speech(5, 30))) == []
    assert index.heard(of(music(3, 40)), without={IDS[3]}) == []
    assert index.heard(of()) == []


def test_two_pieces_in_another_order_and_one_twice(index: SoundIndex) -> None:
    one, two = music(2, 40)[5 * RATE : 13 * RATE], music(8, 40)[20 * RATE : 26 * RATE]
    found = index.heard(of(np.concatenate((two, one, two))))
    told = sorted((round(f.query_start), f.video_id, round(f.start - f.query_start)) for f in found)
    assert told == [(0, IDS[8], 20), (6, IDS[2], -1), (14, IDS[8], 6)]


def test_what_all_videos_have_in_common_is_no_evidence(tmp_path: Path) -> None:
    jingle = music(500, 4)
    many = {f"{n:032x}": of(np.concatenate((jingle, music(n, 3)))) for n in range(300)}
    found = SoundIndex(tmp_path).open(many, many.get).heard(of(np.concatenate((jingle, music(7, 3)))))
    assert found[0].video_id == f"{7:032x}" and found[0].query_end > 6
    assert len(found) <= 5  # where the jingle goes over into something else, an accident may look alike


def test_the_index_follows_the_library(pieces: dict[str, Landmarks], tmp_path: Path) -> None:
    there = dict(pieces)

    def ids(query: Landmarks, keep: bool = False) -> list[str]:
        return [f.video_id for f in SoundIndex(tmp_path).open(there, there.get, keep=keep).heard(query)]

    query, later = of(music(3, 40)[RATE : 9 * RATE]), of(music(15, 40)[RATE : 9 * RATE])
    assert ids(query) == [IDS[3]] and list(tmp_path.iterdir()) == []  # a reader writes nothing
    assert ids(query, keep=True) == [IDS[3]]
    del there[IDS[3]], there[IDS[5]]
    there[IDS[15]] = of(music(15, 40))
    assert ids(query) == [] and ids(later) == [IDS[15]]
    assert ids(query, keep=True) == []
    read: list[str] = []
    SoundIndex(tmp_path).open(there, lambda i: read.append(i) or there[i])
    assert read == []  # it knows them all
    there[IDS[3]] = pieces[IDS[3]]
    assert ids(query, keep=True) == [IDS[3]] and ids(later) == [IDS[15]]
    told = json.loads((tmp_path / "sounds.json").read_text())
    assert sorted(v for v in told["videos"] if v) == sorted(there)


@pytest.mark.parametrize("spoil", ["sounds.npy", "sounds.json"])
@pytest.mark.parametrize("how", ["cut", "gone"])
def test_a_broken_index_is_made_anew(pieces: dict[str, Landmarks], tmp_path: Path, spoil: str, how: str) -> None:
    SoundIndex(tmp_path).open(pieces, pieces.get, keep=True)
    file = tmp_path / spoil
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])
    if how == "gone":
        file.unlink()
    found = SoundIndex(tmp_path).open(pieces, pieces.get).heard(of(music(3, 40)[RATE : 9 * RATE]))
    assert found[0].video_id == IDS[3]


def test_a_fingerprint_that_is_broken_or_missing_is_left_out(pieces: dict[str, Landmarks], tmp_path: Path) -> None:
    whole = packed(pieces[IDS[3]])
    assert np.array_equal(unpacked(whole).pairs, pieces[IDS[3]].pairs)
    with pytest.raises(ValueError, match="reshape"):
        unpacked(whole[:-4])
    read = {IDS[1]: whole[:-4], IDS[3]: whole}

    def of_archive(video_id: str) -> Landmarks | None:
        data = read.get(video_id)
        return unpacked(data) if data is not None else None

    index = SoundIndex(tmp_path).open(IDS[:5], of_archive)
    assert [f.video_id for f in index.heard(of(music(3, 40)))] == [IDS[3]]
    assert index.heard(of(music(1, 40))) == []


def test_indexing_takes_the_sound_along(tmp_path: Path, voiced: Path) -> None:
    from footage import Library

    with Library.open(tmp_path / "lib") as lib:
        (result,) = lib.index(voiced, model="starter")
        data = lib.frames.attached(result.video_id, ENTRY)
        assert data is not None
        index = SoundIndex(tmp_path).open([result.video_id], lambda _: unpacked(data))
        (found,) = index.heard(of(music(42, 12)[4 * RATE :]))
        assert found.start - found.query_start == pytest.approx(4.0, abs=0.1)
        assert lib.frames.times(result.video_id)  # what lies beside them is no frame


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


# ---------------------------------------------------------------------------------------------------------- witness


def filmed(path: Path, picture: int, sound: Float32, *, seconds: float = 12.0) -> Path:
    """A film of a moving photograph with this sound; the number chooses the photograph."""
    from skimage import data

    photo = np.asarray((data.astronaut, data.coffee, data.rocket, data.chelsea)[picture]())
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=15)
        video.width, video.height, video.pix_fmt = 320, 240, "yuv420p"
        audio = out.add_stream("aac", rate=16_000)
        audio.layout = "mono"
        for n in range(round(seconds * 15)):
            y, x = 20 + (n * 2) % (photo.shape[0] - 260), 5 + n % (photo.shape[1] - 330)
            out.mux(
                video.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(photo[y : y + 240, x : x + 320]), "rgb24"))
            )
        out.mux(video.encode(None))
        frame = av.AudioFrame.from_ndarray(np.repeat(sound, 2)[None], "fltp", "mono")
        frame.sample_rate = 16_000
        for part in av.AudioResampler("fltp", "mono", 16_000, 1024).resample(frame):
            out.mux(audio.encode(part))
        out.mux(audio.encode(None))
    return path


def test_dubbed_and_same_music_are_told_apart(tmp_path: Path) -> None:
    from footage import Library

    films = tmp_path / "films"
    films.mkdir()
    filmed(films / "one.mp4", 0, music(1, 12))
    filmed(films / "two.mp4", 1, music(2, 12))
    filmed(films / "three.mp4", 2, music(3, 12))
    same = filmed(tmp_path / "same.mp4", 0, music(1, 12))
    dubbed = filmed(tmp_path / "dubbed.mp4", 0, music(50, 12))
    borrowed = filmed(tmp_path / "borrowed.mp4", 3, music(2, 12))
    with Library.open(tmp_path / "lib") as lib:
        lib.index(films, model="starter")

        def told(clip: Path, *, sound: bool = False) -> list[tuple[str, tuple[str, ...]]]:
            return [(Path(m.video.path).name, m.evidence) for m in lib.copies(clip, sound=sound)]

        assert told(same) == [("one.mp4", ("picture", "sound"))]
        assert told(dubbed) == [("one.mp4", ("picture", "other sound"))]
        assert told(borrowed) == []
        assert told(borrowed, sound=True) == [("two.mp4", ("sound",))]
        (match,) = lib.copies(borrowed, sound=True)
        assert match.start - match.query_start == pytest.approx(0.0, abs=0.1) and match.probability > 0.9
        assert (lib.path / "sounds.json").exists()
