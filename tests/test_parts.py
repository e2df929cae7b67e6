"""A long video in ranges is the same video: the same samples, windows and pictures, or it is not joined at all."""

from __future__ import annotations

import pickle
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clips import encoder, remux
from media_samples import Picture as Image
from media_samples import render, scene

from footage.catalog import Job, Refused
from footage.cluster.orders import Answer, Heard, Order, Surveyed
from footage.cluster.split import Gone, Split, parts_of
from footage.encoders import Together
from footage.errors import CorruptMedia, FootageError, MediaNotFound, StoreUnavailable
from footage.ingest import Encoded, Loaded, Picture, Progress, Run
from footage.ingest.loading import decode, look
from footage.ingest.parts import Join, Part, PartEnd, decode_part, join
from footage.media import key_times, open_video
from footage.sampling import Sampler, SamplingSettings
from footage.types import Window
from footage.windows import Cutter

FPS = 10


class Moving(Together):
    """The encoders of a library, and one that looks at windows of small greys: its cutters only."""

    def __init__(self) -> None:
        super().__init__(*encoder().encoders)  # type: ignore[attr-defined]

    def cutters(self) -> list[Cutter]:
        return [Cutter(Window(8, 2.0, 1.0), lambda frame: frame.luma, 0)]


def story(seed: int, seconds: float, shots: bool = True) -> Iterator[Image]:
    """Shots of odd lengths that move, some of them hardly; or one endless shot."""
    chance, made, number = random.Random(seed), 0, 0
    while made < seconds * FPS:
        length = chance.randrange(7, 80) if shots else round(seconds * FPS)
        for step in range(length):
            yield scene(100 * seed + number, 160, 120, shift=step // chance.choice((1, 2, 9)) if shots else step)
        made, number = made + length, number + 1


def film(path: Path, seed: int = 1, seconds: float = 72, shots: bool = True, gop: int = 20) -> Path:
    options = {"preset": "ultrafast", "g": str(gop), "sc_threshold": "0"}
    return render(path, story(seed, seconds, shots), fps=FPS, options=options)


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(tmp_path_factory.mktemp("parts") / "film.mp4")


def flat(item: Any) -> tuple[Any, ...]:
    if isinstance(item, Picture):
        return ("picture", item.start, item.end, item.at, item.jpeg, *(image.tobytes() for image in item.images))
    return ("run", item.start, item.end, item.at, *(image.tobytes() for image in item.images))


def whole(path: Path) -> tuple[list[Any], Loaded]:
    job = Job(look(str(path)), True)
    *pieces, loaded = decode(job, "x", lambda: None, encoder=Moving(), sampling=SamplingSettings(), progress=Progress())
    assert isinstance(loaded, Loaded), loaded
    return pieces, loaded


def part(path: Path, one: Part) -> list[Any]:
    job = Job(look(str(path)), True)
    return list(
        decode_part(job, "x", one, lambda: None, encoder=Moving(), sampling=SamplingSettings(), progress=Progress())
    )


def carried_out(split: Split, orders: list[Order]) -> None:
    """What the hands would do, in any order."""
    for order in orders:
        if order.part is not None:
            pieces = part(Path(order.job.file.path), order.part)
            batch = Encoded([p for p in pieces if isinstance(p, (Picture, Run))], {})
            answer = Answer([batch, pieces[-1]])
            split.take(order, answer, lambda answer=answer: answer)
            assert not split.done, "its last pieces may come behind its end"
            split.finish(order.number)


def settled(split: Split) -> list[Join]:
    """Where its ranges are joined; two that found no cut in time are decoded as one before."""
    joins = split.joined()
    while isinstance(joins[0], Order):
        assert joins[0].what == "part", "no two ranges could be joined"
        carried_out(split, joins)  # type: ignore[arg-type]
        joins = split.joined()
    return joins  # type: ignore[return-value]


def split_up(path: Path, cost: float = 1.0) -> tuple[Split, list[Part]]:
    seconds = whole(path)[1].video.duration
    found = Surveyed(Job(look(str(path)), True), seconds, seconds / 12, tuple(key_times(path)))
    parts = parts_of(found, cost)
    return Split.of(found.job, "x", parts, found.cost, SamplingSettings()), parts


@pytest.mark.parametrize("seed", [1, 2])
def test_a_video_in_ranges_is_the_video(tmp_path: Path, seed: int) -> None:
    path = film(tmp_path / "film.mp4", seed)
    split, parts = split_up(path)
    assert len(parts) == 6 and all(p.start for p in parts[1:])
    orders = split.orders()
    random.Random(seed).shuffle(orders)
    carried_out(split, orders)
    assert split.done
    *encoded, loaded = split.items(settled(split))
    pieces, expected = whole(path)
    got = [flat(p) for e in encoded for p in e.pieces]  # type: ignore[union-attr]
    assert sorted(got) == sorted(map(flat, pieces))
    assert isinstance(loaded, Loaded)
    assert (loaded.video, loaded.pieces) == (expected.video, expected.pieces)


@pytest.mark.parametrize("cost", [2.0, 20.0, 2000.0])
def test_a_fifth_of_the_ranges_that_key_frames_allow(tmp_path: Path, cost: float) -> None:
    """However many ranges an estimate asks for."""
    path = tmp_path / "film.mp4"
    path.touch()
    parts = parts_of(Surveyed(Job(look(str(path)), True), 80.0, cost, (0.0, 40.0)), 1.0)
    assert parts == [Part(0.0, 40.5, 8.0), Part(40.5, None, 8.0)]


def test_ranges_that_nothing_decides_alike_are_decoded_as_one(tmp_path: Path) -> None:
    """One endless shot, whose seconds are counted otherwise from a border that lies between them."""
    path = film(tmp_path / "film.mp4", seconds=60, shots=False, gop=17)
    split, parts = split_up(path)
    assert len(parts) >= 3
    carried_out(split, split.orders())
    joins = split.joined()
    assert [type(j) for j in joins] == [Order] and joins[0].what == "load"  # type: ignore[union-attr]


def test_only_the_ranges_that_do_not_join_are_done_again(once: Path) -> None:
    split, _ = split_up(once)
    carried_out(split, split.orders())
    settled(split)
    row = sorted(split.ranges, key=lambda number: split.ranges[number].part.start)
    assert len(row) >= 3
    split.ranges[row[0]].end.marks.clear()  # type: ignore[union-attr]
    [again] = split.joined()
    assert isinstance(again, Order) and again.part is not None and again.what == "part"
    assert again.part.start == 0.0 and set(split.ranges) == {*row[2:], again.number}
    carried_out(split, [again])
    encoded = list(split.items(settled(split)))[:-1]
    pieces, _ = whole(once)
    assert sorted(flat(p) for e in encoded for p in e.pieces) == sorted(map(flat, pieces))  # type: ignore[union-attr]


def test_pictures_that_differ_are_not_joined(once: Path) -> None:
    split, _ = split_up(once)
    carried_out(split, split.orders()[:3])
    left, right = split.ranges[0].end, split.ranges[1].end
    assert left is not None and right is not None and join(left, right) is not None
    time, sum_ = right.head[3]
    right.head[3] = (time, sum_ ^ 1)
    assert join(left, right) is None


def test_a_damaged_range_asks_for_the_whole_video(once: Path) -> None:
    split, _ = split_up(once)
    carried_out(split, split.orders())
    split.ranges[3].end.broken = True  # type: ignore[union-attr]
    assert [o.what for o in split.joined() if isinstance(o, Order)] == ["load"]


def test_a_cut_off_file_is_seen_to_be_broken_by_its_last_range(tmp_path: Path) -> None:
    path = film(tmp_path / "film.mkv", 1, 30)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    end = part(path, Part(0.0, None, 1.0))[-1]
    assert isinstance(end, PartEnd) and end.broken


def test_a_range_that_cannot_be_entered_where_it_should_is_broken(tmp_path: Path) -> None:
    """One key frame in all."""
    path = film(tmp_path / "film.mp4", 1, gop=1000)
    assert len(key_times(path)) == 1
    assert [(p.start, p.stop) for p in split_up(path)[1]] == [(0.0, None)]
    pieces = part(path, Part(60.0, None, 5.0))
    assert len(pieces) == 1 and pieces[0].broken


def test_a_file_that_is_gone_or_changed_is_refused(tmp_path: Path) -> None:
    path = film(tmp_path / "film.mp4", 1, 10)
    job = Job(look(str(path)), True)
    how: dict[str, Any] = {"encoder": Moving(), "sampling": SamplingSettings(), "progress": Progress()}
    remux(path, tmp_path / "other.mp4", "longer").replace(path)
    last = list(decode_part(job, "x", Part(0.0, None, 1.0), lambda: None, **how))[-1]
    assert isinstance(last, Refused) and "changed while" in str(last.failure.error) and not last.video_id
    path.unlink()
    [gone] = decode_part(job, "x", Part(0.0, None, 1.0), lambda: None, **how)
    assert isinstance(gone, Refused) and isinstance(gone.failure.error, MediaNotFound)


def test_what_was_kept_elsewhere_may_be_gone(once: Path) -> None:
    split, _ = split_up(once)
    carried_out(split, split.orders())
    joins = settled(split)
    number = sorted(split.ranges)[1]

    def gone() -> Answer:
        raise Gone

    split.ranges[number].answers = [gone]
    with pytest.raises(Gone) as caught:
        list(split.items(joins))
    order = split.void(caught.value.args[0])
    assert order.number == number and not split.done


def test_sound_is_waited_for_where_there_is_some(tmp_path: Path) -> None:
    path = film(tmp_path / "film.mp4", 1, 40)
    split, _ = split_up(path)
    orders = split.orders()
    carried_out(split, orders)
    assert split.done
    first = split.ranges[min(split.ranges)].end
    assert first is not None
    object.__setattr__(first.info, "has_audio", True)
    assert not split.done
    from footage.sounds import landmarks

    split.take(orders[0], Answer([Heard(landmarks([]))]), Gone)  # type: ignore[arg-type]
    assert split.done


# ------------------------------------------------------------------------------------------------- what it stands on


def test_a_reader_begins_at_the_key_frame_before(tmp_path: Path) -> None:
    path = film(tmp_path / "film.mp4", 1, 20)
    assert np.allclose(key_times(path), np.arange(0, len(key_times(path))) * 2.0, atol=0.25)
    with open_video(path) as reader:
        every = {frame.time: frame.luma.tobytes() for frame in reader.frames()}
        duration = reader.duration
    with open_video(path, start=11.3) as reader:
        some = {frame.time: frame.luma.tobytes() for frame in reader.frames()}
        assert reader.duration == duration
    assert min(some) == 10.0 and some == {time: luma for time, luma in every.items() if time >= 10.0}
    with open_video(path, start=500) as reader:  # behind its end: the last key frame
        assert next(iter(reader.frames())).time >= 18.0


def test_key_times_of_what_has_no_index(tmp_path: Path) -> None:
    path = film(tmp_path / "film.ts", 1, 10)
    assert key_times(path) == []
    with pytest.raises(MediaNotFound):
        key_times(tmp_path / "none.mp4")


def test_marks_of_a_sampler_are_those_of_its_state(once: Path) -> None:
    with open_video(once) as reader:
        frames = list(reader.frames())
    one, two = Sampler(SamplingSettings()), Sampler(SamplingSettings())
    assert one.mark == two.mark
    for frame in frames[:100]:
        one.take(frame)
    assert one.mark != two.mark
    for frame in frames[:100]:
        two.take(frame)
    assert one.mark == two.mark
    late = Sampler(SamplingSettings())  # began later: alike once something decided alike for both
    alike = [bool(one.take(f)) == bool(late.take(f)) and one.mark == late.mark for f in frames[100:]]
    assert not alike[0] and alike[-1] and alike == sorted(alike)


def test_a_cutter_that_begins_late_cuts_the_same_windows(tmp_path: Path) -> None:
    path = film(tmp_path / "film.mp4", 1, 20)
    window = Window(8, 2.0, 0.7)

    def cut(start: float) -> list[tuple[Any, ...]]:
        cutter = Cutter(window, lambda frame: frame.luma)
        with open_video(path, start=start) as reader:
            frames = list(reader.frames())
            begin = cutter.begin(frames[0].time) if start else 0.0
            made = [w for frame in frames for w in cutter.take(frame)] + list(cutter.end(reader.duration))
        assert made[0].start == begin
        return [(w.start, w.end, w.at, tuple(p.tobytes() for p in w.pictures)) for w in made]

    every, late = cut(0.0), cut(8.1)
    assert 5 < len(late) < len(every) and every[-len(late) :] == late
    assert late[0][0] < 10.0


@pytest.mark.parametrize(
    "error",
    [
        CorruptMedia("cut", uri="a", time=3.5, hint="copy"),
        MediaNotFound("no", uri="b"),
        StoreUnavailable("x", hint="y"),
    ],
)
def test_errors_travel(error: FootageError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error) and again.__dict__ == error.__dict__ and str(again) == str(error)
