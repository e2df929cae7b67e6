"""`opencv-flow`: directions of real motion, clips found by them, and the command that fills it, also when killed."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clips import encoder, run, whole
from commands import footage, killed_while_filling
from motion import WAYS, film, moving, soft

from footage import encoders
from footage.config import Settings
from footage.errors import ConfigError, EncoderError
from footage.library import Library
from footage.search import Part

pytest.importorskip("cv2", reason="the extra `opencv` is not installed")

BINS = ("right", "right and down", "down", "left and down", "left", "left and up", "up", "right and up")


def vector(*windows: Any) -> Any:
    [found] = encoders.load("opencv-flow").encode_windows(np.stack(windows)).values()
    return found


def panned(across: float, down: float, seed: int = 1, frames: int = 24, width: int = 96, height: int = 72) -> Any:
    """A camera's view of a large still picture, which moves by so many pixels a frame."""
    large = soft(np.random.default_rng(seed), 400, 400, 10)
    corners = [(160 - round(down * n), 150 - round(across * n)) for n in range(frames)]
    return np.stack([large[y : y + height, x : x + width] for y, x in corners])


# --------------------------------------------------------------------------------------------------------- the vectors


@pytest.mark.parametrize("number", range(8))
def test_a_motion_is_in_its_direction(number: int) -> None:
    across, down = np.cos(number * np.pi / 4), np.sin(number * np.pi / 4)
    [found] = vector(panned(3 * across, 3 * down))
    assert np.linalg.norm(found) == pytest.approx(1.0, abs=1e-5) and found.shape == (153,)
    energy = found[:8] ** 2
    assert BINS[int(energy.argmax())] == BINS[number] and energy.max() > 0.8 * energy.sum()
    assert (found[8:-1] ** 2).sum() == pytest.approx(energy.sum(), rel=1e-4), "the grid weighs as much as the whole"
    assert found[-1] ** 2 < 0.05


def test_where_and_when_it_moves() -> None:
    ground = soft(np.random.default_rng(3), 96, 72, 12)
    window = np.repeat(ground[None], 24, axis=0)
    for n in range(12, 24):  # only the upper left corner, only in the second half
        window[n, :24, :32] = np.roll(ground[:24, :32], 2 * (n - 11), axis=1)
    [found] = vector(window)
    cells = (found[8:-1] ** 2).reshape(2, 3, 3, 8).sum(axis=-1)
    assert cells[1, 0, 0] > 0.8 * cells.sum()


def test_rest_cuts_and_pictures() -> None:
    ground = soft(np.random.default_rng(4), 96, 72, 12)
    other = np.where(ground > 127, 0, 255).astype(np.uint8)
    grain = np.clip(ground + np.random.default_rng(5).normal(0, 1.5, (24, 72, 96, 3)), 0, 255).astype(np.uint8)
    still, shots, noise = vector(
        np.repeat(ground[None], 24, 0), np.stack([ground] * 12 + [other] * 12), grain.astype(np.uint8)
    )
    assert still[-1] == pytest.approx(1.0) and np.allclose(shots, still, atol=1e-5)
    assert noise @ still > 0.9
    [[of_picture]] = encoders.load("opencv-flow").encode_images(ground[None]).values()
    assert np.allclose(of_picture, still, atol=1e-6)


def test_opposites_are_unlike_and_speeds_alike() -> None:
    left, right, other, quick = vector(panned(-3, 0), panned(3, 0), panned(-3, 0, seed=8), panned(-5, 0))
    assert left @ other > 0.9 and left @ quick > 0.9 and left @ right < 0.2


def test_a_batch_gives_what_single_windows_give_and_any_size_comes() -> None:
    windows = [panned(2, 0), panned(0, 2), panned(-1, 1)]
    together, alone = vector(*windows), np.concatenate([vector(w) for w in windows])
    assert np.array_equal(together, alone)
    [large] = vector(np.repeat(np.repeat(windows[0], 3, axis=1), 3, axis=2))
    assert large @ together[0] > 0.97
    model = encoders.load("opencv-flow")
    assert model.input_size(1920, 1080) == (96, 54) and model.input_size(90, 1600) == (24, 96)
    assert vector(np.zeros((2, 1, 1, 3), np.uint8)).shape == (1, 153)
    assert model.encode_windows(np.zeros((0, 24, 9, 9, 3), np.uint8))["opencv-flow"].shape == (0, 153)
    assert model.encode_texts(["a goal"]) == {}


def test_windows_that_overlap_share_their_flow_and_get_what_each_gets_alone() -> None:
    whole_, other = panned(2, 1, frames=48), panned(-2, 0, seed=9, frames=48)
    overlapping = [each[first : first + 24] for first in (0, 12, 24) for each in (whole_, other)]  # of two videos
    model = encoders.load("opencv-flow")
    together = np.concatenate([model.encode_windows(w[None])["opencv-flow"] for w in overlapping])  # type: ignore[attr-defined]
    assert np.array_equal(together, np.concatenate([vector(w) for w in overlapping]))
    assert model._moved.cache_info().misses == 2 * 47, "each pair of frames once"  # type: ignore[attr-defined]


@pytest.mark.parametrize("wrong", [np.zeros((1, 8, 8, 3), np.uint8), np.zeros((1, 4, 8, 8, 3), np.float32)])
def test_what_is_no_window_is_refused(wrong: Any) -> None:
    model = encoders.load("opencv-flow")
    with pytest.raises(EncoderError, match="windows must be uint8"):
        model.encode_windows(wrong)  # type: ignore[attr-defined]
    with pytest.raises(EncoderError, match="no size"):
        model.input_size(0, 4)


# --------------------------------------------------------------------------------------------------------- the command


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two films for each way, and a library of them made with the starter."""
    folder = tmp_path_factory.mktemp("flow")
    for number, way in enumerate(WAYS):
        for take in range(2):
            film(folder / "films" / f"{way}{take}.mp4", 10 * number + take, way, seconds=4.0)
    with Library.open(folder / "library", encoder=encoder()) as lib:
        run(lib, folder / "films")
    return folder


def vectors(path: Path) -> dict[str, Any]:
    with Library.open(path) as lib:
        return {Path(v.path).name: lib._opened().vectors("opencv-flow", v.id) for v in lib.videos()}


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_killed_in_the_middle_it_goes_on_to_what_an_undisturbed_run_makes(place: Path, tmp_path: Path) -> None:
    for name in ("killed", "undisturbed"):
        shutil.copytree(place / "library", tmp_path / name)
    done = footage("models", "use", "opencv-flow", "--library", tmp_path / "undisturbed")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "opencv-flow answers motion\n"
    assert "looks at motion, which key frames do not show: the videos are decoded again" in done.stderr
    arguments = ("models", "use", "opencv-flow", "--library", tmp_path / "killed", "--json")
    killed_while_filling(*arguments)
    with Library.open(tmp_path / "killed") as lib:
        filled = lib._opened().counts("opencv-flow")
        assert 1 <= len(filled) < 8 and set(filled.values()) == {4}, "whole videos only"
        assert [f.problem for f in lib.doctor()] == ["filling"]
        assert "motion" not in lib.stamp.roles  # type: ignore[union-attr]
    again = footage(*arguments)
    assert again.returncode == 0, again.stderr
    told = json.loads(again.stdout)
    assert (told["state"], told["videos"], told["answers"]) == ("complete", 8 - len(filled), ["motion"])
    killed, undisturbed = vectors(tmp_path / "killed"), vectors(tmp_path / "undisturbed")
    assert killed.keys() == undisturbed.keys()
    for name, rows in killed.items():
        assert rows.start.tolist() == undisturbed[name].start.tolist() == [0, 1, 2, 3]
        np.testing.assert_allclose(rows.vectors, undisturbed[name].vectors, atol=2e-3)
    with Library.open(tmp_path / "killed") as lib:
        whole(lib)


def test_a_clip_that_moves_left_finds_what_moves_left_and_not_what_moves_right(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "library", tmp_path / "library")
    with Library.open(tmp_path / "library") as lib:
        lib.use("opencv-flow")
        for way, opposite in (("left", "right"), ("right", "left"), ("up", "down"), ("down", "up")):
            query = film(tmp_path / f"{way}.mp4", 900, way, seconds=2.5)  # another patch on another ground
            found = lib.search(parts=[Part("video", query, like="motion")], k=8, per_video=1)
            names = [Path(m.video.path).name for m in found]
            assert set(names[:2]) == {f"{way}0.mp4", f"{way}1.mp4"}
            strengths = {name: m.strength for name, m in zip(names, found, strict=True)}
            assert max(strengths.get(f"{opposite}{take}.mp4", 0.0) for take in range(2)) < 0.1
            assert min(found[0].strength, found[1].strength) > 0.2
            both = lib.search(video=query, k=1)[0]
            assert {e.channel for e in both.evidence} == {"video", "copy", "motion"}


def test_a_new_library_gets_a_model_of_pictures_too_and_says_so(place: Path, tmp_path: Path) -> None:
    films = tmp_path / "films"
    films.mkdir()
    shutil.copyfile(place / "films/left0.mp4", films / "left0.mp4")
    done = footage(
        "index", films, "--library", tmp_path / "l", "--model", "opencv-flow",
        FOOTAGE_MODEL="starter", FOOTAGE_WINDOW="3", FOOTAGE_STRIDE="0.5",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "model starter (as asked); opencv-flow for motion (as asked)" in done.stderr
    with Library.open(tmp_path / "l") as lib:
        assert lib.stamp is not None and lib.stamp.roles == {
            "text": "starter-text", "image": "starter-image", "copy": "layout", "motion": "opencv-flow",
        }  # fmt: skip
        assert [m.window for m in lib.stamp.models] == [None, None, (24, 3.0, 0.5)]
        assert len(lib._opened().vectors("opencv-flow", lib.videos()[0].id)) == 8
        whole(lib)
    again = footage("index", films, "--library", tmp_path / "l")
    assert again.returncode == 0 and "1 unchanged" in again.stderr


@pytest.mark.parametrize(
    ("window", "stride", "message"),
    [(500.0, None, "a window of 500 s; allowed are 0.2 to 60"),
     (1.0, 0.01, "a stride of 0.01 s for windows of 1 s; allowed are 0.0416667 (one frame) to 1 (no gaps)")],
)  # fmt: skip
def test_windows_out_of_range(place: Path, window: float, stride: float | None, message: str) -> None:
    with Library.open(place / "library", encoder=encoder()) as lib:
        with pytest.raises(ConfigError) as caught:
            lib.use("opencv-flow", window=window, stride=stride)
        assert str(caught.value) == message and caught.value.hint
        assert [m.name for m in lib.stamp.models] == ["starter", "layout"]  # type: ignore[union-attr]


def test_the_command_says_so_in_one_line(place: Path) -> None:
    done = footage("models", "use", "opencv-flow", "--stride", "5", "--library", place / "library")
    assert done.returncode == 2
    first, *rest = done.stderr.splitlines()
    assert "a stride of 5 s for windows of 2 s; allowed are 0.0833333 (one frame) to 2 (no gaps)" in first
    assert "Traceback" not in done.stderr and all(not line or line.startswith("hint:") for line in rest)


def test_settings_of_the_library_stay_whatever_the_present_ones(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "library", tmp_path / "library")
    with Library.open(tmp_path / "library", settings=Settings(window=1.0)) as lib:
        lib.use("opencv-flow")
        assert [s.window for s in lib._opened().spaces() if s.window] == [encoders.Window(24, 1.0, 0.5)]
    with Library.open(tmp_path / "library") as lib:
        clip = film(tmp_path / "new.mp4", 5, "up", seconds=2.0)
        run(lib, clip)
        assert len(lib._opened().vectors("opencv-flow", lib.get(str(clip)).id)) == 4
        whole(lib)


def test_the_patch_moves_as_it_is_said_to() -> None:
    """The films themselves: from one picture to the next the patch is where it should be."""
    for way, (across, down) in WAYS.items():
        first, second = (p.astype(int) for _, p in zip(range(2), moving(3, way, 2), strict=False))
        changed = np.abs(np.roll(first, (down, across), axis=(0, 1)) - second).mean()
        assert changed < np.abs(np.roll(first, (-down, -across), axis=(0, 1)) - second).mean()
