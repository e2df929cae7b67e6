"""The sound of a clip says where to look, when its pictures alone find nothing; the pictures still decide."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from clips import library
from films import FPS, HEIGHT, WIDTH, film, shot
from media_samples import Picture, Sound, render
from PIL import Image
from test_sounds import music

from footage.library import Library

RATE = 8000
SECONDS, SCENE = 12, 1.5


def scenes(number: int) -> list[Picture]:
    """A video of eight scenes."""
    return [p for part in range(8) for p in film(1000 * number + part, 0, SCENE)]


def voiced(path: Path, pictures: Iterable[Picture], sound: np.ndarray | None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = None if sound is None else Sound(sound[None], RATE)
    return render(path, pictures, fps=FPS, options={"preset": "ultrafast", "crf": "26"}, sound=wave)


def window(pictures: Iterable[Picture]) -> Iterator[Picture]:
    """Half as large, turned by 15 degrees, in a film that goes on behind it: no view shows that."""
    for number, picture in enumerate(pictures):
        back = Image.fromarray(shot(777, number / FPS))
        small = Image.fromarray(picture).resize((WIDTH // 2, HEIGHT // 2), Image.Resampling.BOX)
        turned = small.rotate(15, expand=True, resample=Image.Resampling.BILINEAR)
        back.paste(turned, (WIDTH // 10, HEIGHT // 7), Image.new("L", small.size, 255).rotate(15, expand=True))
        yield np.asarray(back)


@pytest.fixture(scope="module")
def lib(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    root = tmp_path_factory.mktemp("heard")
    for number in range(1, 9):
        voiced(root / "films" / f"film{number}.mp4", scenes(number), music(number, SECONDS))
    with library(root / "library") as made:
        assert {r.status for r in made.index(root / "films")} == {"indexed"}
        yield made


def test_pictures_that_found_nothing_are_looked_for_where_the_sound_is_heard(lib: Library, tmp_path: Path) -> None:
    pytest.importorskip("cv2", reason="a free turn is told by keypoints")
    pictures = list(window(scenes(3)[3 * FPS : 9 * FPS]))
    assert lib.copies(voiced(tmp_path / "mute.mp4", pictures, None)) == []
    clip = voiced(tmp_path / "clip.mp4", pictures, music(3, SECONDS)[3 * RATE : 9 * RATE])
    (match,) = lib.copies(clip)
    assert Path(match.video.path).stem == "film3" and match.evidence == ("picture", "sound")
    found = (match.query_start, match.query_end, match.start, match.end)
    assert found == pytest.approx((0, 6, 3, 9), abs=0.2)


def test_sound_alone_makes_no_picture_of_a_copy(lib: Library, tmp_path: Path) -> None:
    sound = music(3, SECONDS)[3 * RATE : 9 * RATE]
    clip = voiced(tmp_path / "clip.mp4", scenes(50)[3 * FPS : 9 * FPS], sound)
    assert lib.copies(clip) == []
    (heard,) = lib.copies(clip, sound=True)
    assert Path(heard.video.path).stem == "film3" and heard.evidence == ("sound",)
