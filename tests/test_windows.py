"""Windows of frames: cut as they should be, filled by indexing and by `models use`, found by a clip's motion."""

from __future__ import annotations

import gc
import math
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clips import encoder, run, whole
from motion import ROW, WAYS, TinyMotion, film
from serving import serving

from footage.config import Settings, load
from footage.encoders import Together
from footage.encoders.rows import ROWS
from footage.errors import ConfigError, QueryError, SpaceMismatch, StoreError
from footage.ingest import Progress
from footage.library import Library
from footage.sampling import SamplingSettings, samples
from footage.search import Part
from footage.stores import open_store
from footage.types import Embeddings, Frame, Space, Video, Window
from footage.windows import Cutter, WindowSample, samples_and_windows, windows

GREY = np.zeros((36, 64), np.uint8)


def frame(time: float, number: int = 0) -> Frame:
    return Frame(time, False, 8, 8, GREY, lambda w, h: np.full((h, w, 3), number, np.uint8))


def cut(window: Window, times: list[float], duration: float) -> list[WindowSample]:
    """The windows of frames at these times, whose pictures say which frame they are of."""
    cutter = Cutter(window, lambda f: np.array([times.index(f.time)]))  # type: ignore[arg-type,return-value]
    return list(windows((frame(t) for t in times), [cutter], lambda: duration))


# ------------------------------------------------------------------------------------------------------------ cutting


def expected(window: Window, times: list[float], duration: float) -> list[list[int]]:
    """The same by brute force: all places of the grid at once, each window the run of them around its middle."""
    step = window.seconds / window.frames
    places = [
        max([i for i, t in enumerate(times) if t <= (n + 0.5) * step + 1e-6], default=0)
        for n in range(max(1, math.ceil(duration / step - 0.5 - 1e-6 / step)))
    ]
    out: list[list[int]] = []
    for number in range(max(1, math.floor(duration / window.stride + 0.5))):
        first = round((number + 0.5) * window.stride / step - window.frames / 2)
        first = max(0, min(first, len(places) - window.frames))
        mine = places[first : first + window.frames]
        out.append(mine + mine[-1:] * (window.frames - len(mine)))
    return out


@pytest.mark.parametrize("window", [Window(8, 2.0, 1.0), Window(16, 2.0, 0.7), Window(4, 1.0, 1.0), Window(3, 3, 1.1)])
@pytest.mark.parametrize("duration", [0.04, 0.5, 1.0, 1.49, 2.0, 3.33, 10.0, 12.34])
@pytest.mark.parametrize("rate", [2.5, 10.0, 29.97, 60.0])
def test_windows_are_the_frames_around_the_middle_of_each_stride(window: Window, duration: float, rate: float) -> None:
    times = [n / rate for n in range(max(1, round(duration * rate)))]
    found = cut(window, times, duration)
    assert [[int(p[0]) for p in w.pictures] for w in found] == expected(window, times, duration)
    assert len(found) == window.count(duration)
    assert [w.start for w in found] == pytest.approx([n * window.stride for n in range(len(found))])
    assert [w.end for w in found[:-1]] == [w.start for w in found[1:]] and found[-1].end == pytest.approx(duration)
    assert all(w.start <= w.at < w.end for w in found)


def test_frames_of_uneven_times() -> None:
    rng = np.random.default_rng(1)
    times = [0.0, *np.cumsum(rng.exponential(0.2, 200)).tolist()]
    window = Window(8, 2.0, 1.0)
    found = cut(window, times, times[-1] + 0.1)
    assert [[int(p[0]) for p in w.pictures] for w in found] == expected(window, times, times[-1] + 0.1)
    late = cut(window, [0.8, 1.0, 400.0], 400.5)  # nothing at the start, and a picture that stays for minutes
    assert len(late) == window.count(400.5)
    assert {int(p[0]) for w in late[1:-3] for p in w.pictures} <= {0, 1}
    assert cut(window, [], 0.0) == []


def test_a_window_converts_each_frame_once_and_none_that_it_does_not_need() -> None:
    made: list[float] = []

    def scale(of: Frame) -> Any:
        made.append(of.time)
        return np.zeros((4, 4, 3), np.uint8)

    list(windows((frame(n / 100) for n in range(1000)), [Cutter(Window(8, 2.0, 0.5), scale)], lambda: 10.0))
    assert len(made) == len(set(made)) == 40, "four a second, of a hundred"


def test_no_more_than_a_window_of_pictures_is_held_however_long_the_video() -> None:
    alive = most = 0

    def scale(_: Frame) -> Any:
        nonlocal alive, most
        picture = np.zeros((4, 4, 3), np.uint8)
        alive, most = alive + 1, max(most, alive + 1)
        weakref.finalize(picture, gone)
        return picture

    def gone() -> None:
        nonlocal alive
        alive -= 1

    cutters = [Cutter(Window(16, 2.0, 1.0), scale)]
    pulled = count = 0

    def frames() -> Iterator[Frame]:
        nonlocal pulled
        for number in range(20_000):  # eleven minutes in which nothing happens, so that no sample comes
            pulled += 1
            yield frame(number / 30)

    waited = 0
    for each in samples_and_windows(frames(), SamplingSettings(), cutters, lambda: 20_000 / 30):
        if isinstance(each, WindowSample):
            count += 1
            waited, pulled = max(waited, pulled), 0
        del each
    gc.collect()
    assert count == round(20_000 / 30)
    assert most <= 16 + 8 + 2, "a window, the part of the one before that it does not share, and one just made"
    assert waited < 100, "windows come as they are cut, and not when the next sample does"


def test_samples_are_those_without_windows() -> None:
    rng = np.random.default_rng(2)
    scenes = rng.integers(0, 256, (30, 36, 64), np.uint8)
    frames = [Frame(n / 25, n % 25 == 0, 8, 8, scenes[n // 40], lambda w, h: GREY) for n in range(1000)]
    for settings in (SamplingSettings(), SamplingSettings(fast=True)):
        alone = [(s.start, s.end, s.at) for s in samples(frames, settings, lambda: 40.0)]
        cutters = [Cutter(Window(8, 2.0, 1.0), lambda f: GREY)]
        both = list(samples_and_windows(frames, settings, cutters, lambda: 40.0))
        assert [(s.start, s.end, s.at) for s in both if not isinstance(s, WindowSample)] == alone
        assert sum(isinstance(s, WindowSample) for s in both) == 40


@pytest.mark.parametrize(
    ("values", "message"),
    [((2, 2.0, 1.0), "2 frames"), ((8, 0.1, 0.05), "0.1 s"), ((8, 61.0, 9.0), "61 s"), ((8, 2.0, 2.1), "stride of 2.1"),
     ((8, 2.0, 0.2), "stride of 0.2")],
)  # fmt: skip
def test_windows_that_make_no_sense(values: tuple[int, float, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        Window(*values)
    assert "\n" not in caught.value.message and caught.value.hint


def test_other_settings_of_a_window_keep_its_overlap() -> None:
    window = Window(16, 2.0, 0.5)
    assert window.of(None, None) == window
    assert window.of(8.0, None) == Window(16, 8.0, 2.0)
    assert window.of(None, 1.5) == Window(16, 2.0, 1.5)
    assert window.of(4.0, 1.0) == Window(16, 4.0, 1.0)


# ------------------------------------------------------------------------------------------------------------- stores


@pytest.mark.parametrize("kind", ["memory", "lance"])
def test_a_space_keeps_its_windows(kind: str, tmp_path: Path) -> None:
    space = Space("m", 3, ("window",), Window(8, 2.0, 1.0))
    store = open_store("memory:" if kind == "memory" else tmp_path / "s")
    store.create_space(space)
    store.create_space(space)
    with pytest.raises(SpaceMismatch, match="other windows"):
        store.create_space(Space("m", 3, ("window",), Window(8, 4.0, 1.0)))
    if kind == "lance":
        store.close()
        store = open_store(tmp_path / "s")
    assert store.spaces() == [space]
    video = Video("a" * 32, (), 9.6, 1, 1, 1.0, "", "", 0.0, 3, "")
    assert (space.rows(video), Space("p", 3).rows(video)) == (10, 3)


# ------------------------------------------------------------------------------------------------------------ indexing


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two films for each way, and one that goes left, rests, and goes right."""
    folder = tmp_path_factory.mktemp("windows") / "films"
    for number, way in enumerate(WAYS):
        for take in range(2):
            film(folder / f"{way}{take}.mp4", 10 * number + take, way)
    film(folder / "both.mp4", 77, "left", "rest", "right", seconds=4.0)
    return folder


@pytest.fixture(scope="module")
def made(films: Path) -> Path:
    with with_motion(films.parent / "library") as lib:
        run(lib, films)
    return films.parent / "library"


def with_motion(path: Path, row: Any = ROW, **settings: Any) -> Library:
    together = Together(*encoder().encoders, TinyMotion(row))  # type: ignore[attr-defined]
    return Library.open(path, encoder=together, settings=Settings(**settings))


def rows(lib: Library, name: str, space: str) -> Embeddings:
    video = next(v for v in lib.videos() if Path(v.path).name == name)
    return lib._opened().vectors(space, video.id)


def test_indexing_fills_windows_of_the_real_frames_beside_the_samples(films: Path, made: Path) -> None:
    from footage.media import open_video

    with with_motion(made) as lib:
        whole(lib)
        assert lib.stamp is not None and lib.stamp.roles["motion"] == "tiny-motion"
        assert lib.stamp.format == 2 and lib.stamp.models[-1].window == (8, 1.0, 0.5)
        found = rows(lib, "both.mp4", "tiny-motion")
        video = lib.get(found.video_id)
        assert len(found) == 24 and video.duration == pytest.approx(12.0)
        assert np.allclose(found.start, np.arange(24) / 2) and np.allclose(found.end, np.arange(1, 25) / 2)
        with open_video(films / "both.mp4") as reader:
            shown = [(f.time, f.picture(40, 30)) for f in reader.frames()]
        for number, vector in enumerate(found.vectors):
            first = min(max(0.0, (number + 0.5) / 2 - 0.5), video.duration - 1.0)
            places = [first + (n + 0.5) / 8 for n in range(8)]
            pictures = np.stack([[p for t, p in shown if t <= place + 1e-6][-1] for place in places])
            [[wanted]] = TinyMotion().encode_windows(pictures[None]).values()
            np.testing.assert_allclose(vector, wanted, atol=2e-3)
        samples_ = rows(lib, "both.mp4", "starter-image")
        assert len(samples_) == video.samples == len(lib.frames.times(video.id))


def test_the_samples_are_those_of_a_library_without_motion(films: Path, made: Path, tmp_path: Path) -> None:
    with Library.open(tmp_path / "plain", encoder=encoder()) as plain, with_motion(made) as lib:
        run(plain, films / "both.mp4")
        mine, theirs = rows(lib, "both.mp4", "starter-image"), rows(plain, "both.mp4", "starter-image")
        assert mine.start.tolist() == theirs.start.tolist() and mine.at.tolist() == theirs.at.tolist()
        np.testing.assert_allclose(mine.vectors, theirs.vectors, atol=2e-3)


def test_videos_shorter_than_a_window_and_of_one_picture(tmp_path: Path) -> None:
    with with_motion(tmp_path / "l") as lib:
        run(lib, film(tmp_path / "short.mp4", 3, "left", seconds=0.3), film(tmp_path / "one.mp4", 3, "", seconds=0.05))
        whole(lib)
        assert len(rows(lib, "short.mp4", "tiny-motion")) == len(rows(lib, "one.mp4", "tiny-motion")) == 1
        assert rows(lib, "short.mp4", "tiny-motion").end[0] == pytest.approx(0.3)
        assert np.argmax(rows(lib, "short.mp4", "tiny-motion").vectors[0][:8]) == 4, "it goes left, then it rests"
        assert np.argmax(rows(lib, "one.mp4", "tiny-motion").vectors[0]) == 8


def test_a_video_that_is_sampled_anew_has_its_windows_anew(films: Path, tmp_path: Path) -> None:
    with with_motion(tmp_path / "l") as lib:
        run(lib, films / "left0.mp4")
        before = rows(lib, "left0.mp4", "tiny-motion")
        assert run(lib, films / "left0.mp4", every=0.3)["left0.mp4"].status == "indexed"
        whole(lib)
        np.testing.assert_allclose(rows(lib, "left0.mp4", "tiny-motion").vectors, before.vectors, atol=2e-3)


def test_a_fast_pass_is_refused_where_motion_is_known(films: Path, made: Path) -> None:
    with with_motion(made) as lib, pytest.raises(ConfigError, match="a fast pass sees key frames only") as caught:
        run(lib, films, fast=True)
    assert "models drop" in caught.value.hint


def test_other_windows_than_those_of_the_library_are_refused(films: Path, made: Path) -> None:
    from dataclasses import replace

    [space] = ROW.spaces
    other = replace(ROW, spaces=(replace(space, window=Window(8, 2.0, 1.0)),))
    with (
        with_motion(made, other) as lib,
        pytest.raises(SpaceMismatch, match="another version of the model tiny-motion"),
    ):
        run(lib, films)


# ----------------------------------------------------------------------------------------------------------- searching


@pytest.mark.parametrize("way", WAYS)
def test_a_clip_finds_what_moves_its_way(films: Path, made: Path, way: str, tmp_path: Path) -> None:
    query = film(tmp_path / "query.mp4", 500, way, seconds=2.0)  # another patch on another ground
    with with_motion(made) as lib:
        found = lib.search(parts=[Part("video", query, like="motion")], k=20, per_video=1)
        names = [Path(m.video.path).name for m in found]
        also = {"both.mp4"} if way in ("left", "right") else set[str]()
        wanted = {f"{way}0.mp4", f"{way}1.mp4"} | also
        assert set(names[: len(wanted)]) == wanted
        assert {e.channel for e in found[0].evidence} == {"motion"}
        assert {e.space for e in found[0].evidence} == {"tiny-motion"}
        if also:
            [both] = [m for m in found if Path(m.video.path).name == "both.mp4"]
            first, last = (0.0, 4.0) if way == "left" else (8.0, 12.0)
            assert first - 0.5 <= both.start and both.end <= last + 0.5
        opposite = {"left": "right", "right": "left", "up": "down", "down": "up"}[way]
        strengths = {Path(m.video.path).name: m.strength for m in found}
        others = [strengths.get(f"{opposite}{take}.mp4", 0.0) for take in range(2)]
        assert min(strengths[n] for n in wanted) > max(others)


def test_a_clip_asks_what_the_library_knows(films: Path, made: Path, tmp_path: Path) -> None:
    query = films / "up1.mp4"
    with with_motion(made) as lib:
        best = lib.search(video=query)[0]
        for _ in range(4):  # from the third on out of memory
            best = lib.search(video=query)[0]
            assert Path(best.video.path).name == "up1.mp4"
            assert sorted({e.channel for e in best.evidence}) == ["copy", "motion", "video"]
        pictures = lib.search(parts=[Part("video", query, like="pictures")])[0]
        assert sorted({e.channel for e in pictures.evidence}) == ["copy", "video"]
        kind = lib.search(parts=[Part("video", query, like="kind")])[0]
        assert sorted({e.channel for e in kind.evidence}) == ["motion", "video"]
        strip = lib.curve([Part("video", query, like="motion")], best.video.id)
        other = next(v for v in lib.videos() if Path(v.path).name == "down1.mp4")
        opposite = lib.curve([Part("video", query, like="motion")], other.id)
        assert len(strip.at) == 6 and strip.strength.min() > 2 * opposite.strength.max()
        mixed = lib.search("a red car", video=query)[0]
        assert sorted({e.channel for e in mixed.evidence}) == ["copy", "motion", "text", "video"]
    with Library.open(tmp_path / "plain", encoder=encoder()) as plain:
        run(plain, query)
        assert sorted({e.channel for e in plain.search(video=query)[0].evidence}) == ["copy", "video"]
        with pytest.raises(QueryError, match="cannot be searched by motion"):
            plain.search(parts=[Part("video", query, like="motion")])


def test_a_long_clip_is_thinned(films: Path, made: Path, tmp_path: Path) -> None:
    from footage.search.query import clip_vectors

    query = film(tmp_path / "long.mp4", 5, "left", "up", seconds=20.0)
    together = Together(*encoder().encoders, TinyMotion())  # type: ignore[attr-defined]
    pictures, [moving] = clip_vectors(query, together, motion=True)
    assert pictures is not None and len(pictures.starts) <= 48
    assert 20 <= len(moving.starts) <= 48
    assert moving.starts[-1] + moving.lengths[-1] == pytest.approx(40.0) and moving.lengths.min() > 0
    left, up = moving.vectors["tiny-motion"][:, 4], moving.vectors["tiny-motion"][:, 6]
    early = moving.starts + moving.lengths < 20
    assert (left > up)[early].all() and (left < up)[moving.starts > 20].all()


# ------------------------------------------------------------------------------------------------- coming later, going


@pytest.fixture
def plain(films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Library]:
    """A library of pictures alone, and the small encoder in the registry."""
    monkeypatch.setitem(ROWS, "tiny-motion", ROW)
    with Library.open(tmp_path / "library", encoder=encoder()) as lib:
        run(lib, films)
        yield lib


def test_use_decodes_the_videos_and_comes_to_what_indexing_comes_to(films: Path, made: Path, plain: Library) -> None:
    told: list[str] = []
    used = plain.use("tiny-motion", on_decoding=told.append)
    assert told == ["tiny-motion looks at motion, which key frames do not show"]
    assert (used.state, used.answers, used.videos, used.decoded) == ("complete", ["motion"], 9, 9)
    whole(plain)
    with with_motion(made) as lib:
        for path in films.iterdir():
            mine, theirs = (rows(each, path.name, "tiny-motion") for each in (plain, lib))
            assert mine.start.tolist() == theirs.start.tolist() and mine.end.tolist() == theirs.end.tolist()
            np.testing.assert_allclose(mine.vectors, theirs.vectors, atol=2e-3)
    assert "motion" in {e.channel for e in plain.search(video=films / "left0.mp4", k=1)[0].evidence}
    assert plain.search("a red car", k=1)[0].evidence[0].space == "starter-text"


def test_what_was_indexed_by_key_frames_alone_is_decoded_whole(films: Path, tmp_path: Path, plain: Library) -> None:
    fresh = film(tmp_path / "fresh.mp4", 9, "down", seconds=2.0)
    run(plain, fresh, fast=True)
    plain.use("tiny-motion")
    assert np.argmax(rows(plain, "fresh.mp4", "tiny-motion").vectors, axis=1).tolist() == [2, 2, 2, 2]
    whole(plain)


def test_new_videos_get_windows_while_the_model_is_filled(films: Path, tmp_path: Path, plain: Library) -> None:
    progress, calls = Progress(), iter(range(10_000))

    def give_way() -> None:
        if next(calls) == 60:
            progress.cancelled.set()

    progress.give_way = give_way
    used = plain.use("tiny-motion", progress=progress)
    assert (used.state, used.answers) == ("filling", []) and used.videos < 9
    assert [f.problem for f in plain.doctor()] == ["filling"]
    run(plain, film(tmp_path / "fresh.mp4", 9, "down", seconds=2.0))
    assert len(rows(plain, "fresh.mp4", "tiny-motion")) == 4
    again = plain.use("tiny-motion")
    assert again.state == "complete" and again.videos <= 9 - used.videos
    whole(plain)


def test_a_file_that_is_away_keeps_the_model_from_answering(films: Path, tmp_path: Path, plain: Library) -> None:
    fresh = film(tmp_path / "fresh.mp4", 9, "down", seconds=2.0)
    run(plain, fresh)
    fresh.unlink()
    with pytest.raises(StoreError, match=r"the file, which shows motion, is not there of: .*fresh\.mp4") as caught:
        plain.use("tiny-motion")
    assert "footage rm" in caught.value.hint
    plain.remove(str(fresh))
    assert plain.use("tiny-motion").state == "complete"


def test_other_settings_want_the_model_to_be_dropped_first(films: Path, plain: Library) -> None:
    plain.use("tiny-motion")
    with Library.open(plain.path, encoder=encoder(), settings=Settings(window=2.0)) as other:
        assert other.search(video=films / "left0.mp4"), "the settings are those of a model that comes"
        with pytest.raises(SpaceMismatch, match=r"windows of 1 s, 0\.5 s apart, in this library") as caught:
            other.use("tiny-motion")
        assert "models drop tiny-motion" in caught.value.hint
        dropped = other.drop("tiny-motion")
        assert dropped.samples == 8 * 6 + 24
        assert "motion" not in {e.channel for e in other.search(video=films / "left0.mp4", k=1)[0].evidence}
        assert other.use("tiny-motion").samples == 8 * 3 + 12
        whole(other)
    assert plain.use("tiny-motion").videos == 0, "without settings it stays as it is"
    assert plain.stamp is not None and plain.stamp.member("tiny-motion").window == (8, 2.0, 1.0)  # type: ignore[union-attr]


def test_windows_that_are_asked_for_go_before_the_settings(plain: Library) -> None:
    with Library.open(plain.path, encoder=encoder(), settings=Settings(window=2.0)) as lib:
        with pytest.raises(ConfigError, match="starter looks at single pictures") as caught:
            lib.use("starter", window=2.0)
        assert "leave out" in caught.value.hint
        with pytest.raises(ConfigError, match=r"a stride of 2\.5 s for windows of 2 s"):
            lib.use("tiny-motion", stride=2.5)
        assert lib.use("starter").state == "complete", "what the settings say of windows is nothing to it"
        lib.use("tiny-motion", stride=2.0)
        assert lib.stamp is not None and lib.stamp.member("tiny-motion").window == (8, 2.0, 2.0)  # type: ignore[union-attr]
        whole(lib)


def test_a_job_of_the_server_takes_windows_too(plain: Library) -> None:
    def use(**body: Any) -> Any:
        return served.client.post("/api/v1/models/use", json=body)

    with serving(plain) as served:
        for body, status, word in (
            ({"model": "tiny-motion", "window": 1.0, "stride": 1.5}, 400, "a stride of 1.5 s"),
            ({"model": "starter", "stride": 1.0}, 400, "single pictures"),
            ({"model": "tiny-motion", "window": 61}, 422, "window"),
            ({"model": "tiny-motion", "stride": 0}, 422, "stride"),
        ):
            refused = use(**body)
            assert refused.status_code == status and word in refused.json()["message"]
        assert served.client.get("/api/v1/jobs").json()["jobs"] == []
        done = served.wait(use(model="tiny-motion", window=1.5, stride=0.75).json()["id"])
        assert done["state"] == "done", done
        assert plain.stamp is not None and plain.stamp.member("tiny-motion").window == (8, 1.5, 0.75)  # type: ignore[union-attr]
        assert len(rows(plain, "both.mp4", "tiny-motion")) == 16
        other = served.wait(use(model="tiny-motion", window=2.0).json()["id"])
        assert other["state"] == "failed" and "windows of 1.5 s, 0.75 s apart" in other["error"]["message"]


def test_settings_of_windows(tmp_path: Path) -> None:
    toml = tmp_path / "footage.toml"
    toml.write_text("[models]\nwindow = 4\nstride = 1.5\n")
    found = load({}, file=toml)
    assert (found.window, found.stride) == (4.0, 1.5)
    assert load({"FOOTAGE_WINDOW": "3"}, file=toml).window == 3.0
    for value in (0, 61, -1):
        with pytest.raises(ConfigError, match="window is"):
            load({}, file=toml, window=float(value))
    with pytest.raises(ConfigError, match="must be of type float"):
        load({"FOOTAGE_STRIDE": "often"}, file=toml)
