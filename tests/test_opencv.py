"""The classics of OpenCV: equal to independent references, found through a real library, verified by keypoints."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from media_samples import Picture, render, scene
from PIL import Image, ImageDraw

from footage import encoders
from footage.encoders.rows_torch import OPENCV
from footage.errors import EncoderError, NotIndexed, QueryError
from footage.library import Library
from footage.search import Part, parse_part
from footage.types import Moment

pytest.importorskip("cv2", reason="the extra `opencv` is not installed")

NAMES = [row.name for row in OPENCV]
GOLDEN = {  # made with Facebook's own C++ (pdqhash 0.2.8): seed, width, height of `waves` -> bits, quality
    (1, 256, 256): ("5d55e8ccfd90595bfc0cf863f2cb956adc3588140b3d2a9513c5a6970a0d471f", 100),
    (2, 160, 96): ("199bc82ac34eccd8558a009f864dad3fda01ad17fe1aa47e3e20bf78d26e2734", 100),
    (3, 512, 300): ("cde8873ac44ae2045b373cf0e05a9d8db80e998febaf246db067801f799f1865", 100),
    (4, 64, 64): ("f280063d2f95fd40316fa4692cfd9deaee90fc07a97c33d40dc64e380d563383", 100),
    (5, 37, 23): ("90df3005a768b111dfd56fb7ede2271cd0b6ca8c70b4cecb7aba435a34b400c9", 100),
}


def textured(seed: int, width: int = 320, height: int = 200) -> Picture:
    """A picture with many corners, as photographs have them and `scene` does not."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", (width, height), tuple(rng.integers(0, 256, 3).tolist()))
    draw = ImageDraw.Draw(image)
    for _ in range(160):
        x, y = rng.integers(0, width), rng.integers(0, height)
        corners = [(int(x + dx), int(y + dy)) for dx, dy in rng.integers(-22, 23, (3, 2))]
        draw.polygon(corners, fill=tuple(rng.integers(0, 256, 3).tolist()))
    return np.asarray(image)


def waves(seed: int, width: int, height: int) -> Picture:
    """A smooth picture by numpy alone, so that it is the same with any version of Pillow."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / max(width, height)
    total = np.zeros((height, width, 3))
    for _ in range(24):
        across, down, phase = rng.uniform(-40, 40), rng.uniform(-40, 40), rng.uniform(0, 7, 3)
        total += np.sin((across * x + down * y)[..., None] + phase)
    return np.clip(128 + 30 * total, 0, 255).astype(np.uint8)


def vector(name: str, images: Picture) -> Any:
    (out,) = encoders.load(name).encode_images(images).values()
    return out


def scaled(name: str, picture: Picture) -> Picture:
    from footage.media import resize

    return resize(picture, *encoders.load(name).input_size(picture.shape[1], picture.shape[0]))


# ------------------------------------------------------------------------------------------------------- the vectors


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (4, 3), (64, 64), (97, 131), (256, 256)])
def test_vectors_have_unit_length_whatever_the_picture(name: str, shape: tuple[int, int]) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (3, *shape, 3), np.uint8)
    vectors = vector(name, pictures)
    assert vectors.dtype == np.float32 and vectors.shape == (3, encoders.lookup(name).dim)
    lengths = np.linalg.norm(vectors, axis=1)
    nothing = (name == "opencv-pdq" and min(shape) < 5) or (name == "opencv-hog" and shape == (1, 1))
    assert lengths == pytest.approx(np.zeros(3) if nothing else np.ones(3), abs=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_gives_what_single_pictures_give(name: str) -> None:
    pictures = np.stack([textured(seed, 128, 128) for seed in range(5)])
    assert np.array_equal(vector(name, pictures), np.concatenate([vector(name, p[None]) for p in pictures]))
    assert vector(name, pictures[:0]).shape == (0, encoders.lookup(name).dim)


@pytest.mark.parametrize("name", NAMES)
def test_path_picture_and_array_are_the_same(name: str, tmp_path: Path) -> None:
    from footage.search.query import encode_picture

    picture = textured(1, 201, 133)
    Image.fromarray(picture).save(tmp_path / "p.png")
    sources = [picture, Image.fromarray(picture), tmp_path / "p.png", (tmp_path / "p.png").read_bytes()]
    first, *others = [encode_picture(source, encoders.load(name))[name] for source in sources]
    assert all(np.array_equal(first, other) for other in others)
    assert not np.array_equal(first[0], first[1])  # the mirror image


@pytest.mark.parametrize("name", NAMES)
def test_grey_is_a_picture_too_and_plain_has_no_edges(name: str) -> None:
    grey = np.repeat(textured(2)[..., :1], 3, axis=2)
    assert np.linalg.norm(vector(name, grey[None])) == pytest.approx(1, abs=1e-5)
    plain = vector(name, np.full((1, 64, 64, 3), 90, np.uint8))
    assert bool(plain.any()) == (name in ("opencv-colour", "opencv-dhash"))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "wrong", [np.zeros((1, 8, 8, 3), np.float32), np.zeros((8, 8, 3), np.uint8), np.zeros((1, 0, 8, 3), np.uint8)]
)
def test_what_is_no_picture_is_refused(name: str, wrong: Any) -> None:
    encoder = encoders.load(name)
    with pytest.raises(EncoderError, match="uint8"):
        encoder.encode_images(wrong)
    with pytest.raises(EncoderError, match="no size"):
        encoder.input_size(0, 4)
    assert encoder.encode_texts(["a cat"]) == {}


@pytest.mark.parametrize("name", NAMES)
def test_a_copy_is_nearer_than_another_picture(name: str) -> None:
    pictures = [textured(seed) for seed in range(6)]
    small = Image.fromarray(pictures[3]).resize((150, 94), Image.Resampling.BILINEAR)
    copy = vector(name, scaled(name, np.asarray(small))[None])[0]
    near = [float(copy @ vector(name, scaled(name, p)[None])[0]) for p in pictures]
    assert int(np.argmax(near)) == 3
    assert near[3] > max(near[:3] + near[4:]) + 0.1


# --------------------------------------------------------------------------------- against independent implementations


def bits_of(row: Any) -> Any:
    return row > 0


@pytest.mark.parametrize("key", GOLDEN)
def test_pdq_is_that_of_its_makers(key: tuple[int, int, int]) -> None:
    from footage.encoders.opencv.features import pdq_hash

    bits, quality = pdq_hash(waves(*key))
    theirs, their_quality = GOLDEN[key]
    differing = np.unpackbits(np.frombuffer(bytes.fromhex(theirs), np.uint8)) != bits
    assert differing.sum() <= 2 and abs(quality - their_quality) <= 1  # floats are added in another order
    assert np.array_equal(bits_of(vector("opencv-pdq", waves(*key)[None])[0]), bits)


def test_pdq_beside_its_makers_code() -> None:
    pdqhash = pytest.importorskip("pdqhash")
    from footage.encoders.opencv.features import pdq_hash

    rng = np.random.default_rng(3)
    for seed in range(30):
        width, height = (int(n) for n in rng.integers(5, 700, 2))
        picture = textured(seed, width, height)
        theirs, quality = pdqhash.compute(picture)
        bits, ours = pdq_hash(picture)
        assert (bits != np.asarray(theirs, bool)[::-1]).sum() <= 2, (width, height)  # floats are added in another order
        assert abs(ours - quality) <= 1


def test_pdq_by_its_definition_in_numpy() -> None:
    """A picture of 64 x 64 needs no filter: what is left is the cosine transform and the median."""
    from footage.encoders.opencv.features import pdq_hash

    picture = textured(5, 64, 64)
    grey = picture.astype(np.float64) @ [0.299, 0.587, 0.114]
    basis = np.cos(np.pi / 128 * np.outer(np.arange(1, 17), 2 * np.arange(64) + 1))
    kept = (basis @ grey @ basis.T).reshape(-1)
    assert np.array_equal(pdq_hash(picture)[0], kept > np.median(kept))


def test_the_cosine_of_hashes_is_their_hamming_distance() -> None:
    a, b = vector("opencv-pdq", np.stack([textured(1), textured(2)]))
    differing = int((bits_of(a) != bits_of(b)).sum())
    assert float(a @ b) == pytest.approx(1 - 2 * differing / 256, abs=1e-6)


def test_dhash_by_its_definition_in_numpy() -> None:
    picture = textured(6, 72, 72)
    grey = picture.astype(np.float64) @ [0.299, 0.587, 0.114]
    wide = grey.reshape(8, 9, 9, 8).mean(axis=(1, 3))  # 8 rows of 9 pixels, 9 columns of 8
    tall = grey.reshape(9, 8, 8, 9).mean(axis=(1, 3))
    bits = np.concatenate([(wide[:, 1:] > wide[:, :-1]).reshape(-1), (tall[1:] > tall[:-1]).reshape(-1)])
    assert np.array_equal(bits_of(vector("opencv-dhash", picture[None])[0]), bits)


def test_colours_by_their_definition_in_python() -> None:
    """The bins of a picture of few colours, by the standard library's HSV."""
    import colorsys

    colours = [(255, 0, 0), (0, 200, 0), (10, 10, 120), (128, 128, 128), (250, 240, 20)]
    rng = np.random.default_rng(0)
    picture = np.array(colours, np.uint8)[rng.integers(0, len(colours), (30, 30))]
    expected = np.zeros((9, 8, 4, 4))
    for y in range(30):
        for x in range(30):
            hue, saturation, value = colorsys.rgb_to_hsv(*(int(c) / 255 for c in picture[y, x]))
            place = int(hue * 8), min(int(saturation * 4), 3), min(int(value * 4), 3)
            expected[y // 10 * 3 + x // 10][place] += 1 / 100
    assert vector("opencv-colour", picture[None])[0] == pytest.approx(np.sqrt(expected).reshape(-1) / 3, abs=1e-6)


def test_edges_lie_where_they_run() -> None:
    """Stripes across and down have nothing in common; moved by a period, they are the same."""
    down = np.where(np.arange(112) // 8 % 2, 255, 0).astype(np.uint8)
    stripes = np.repeat(np.repeat(down[:, None], 112, axis=1)[..., None], 3, axis=2)
    turned, moved = stripes.transpose(1, 0, 2), np.roll(stripes, 16, axis=0)
    a, b, c = vector("opencv-hog", np.stack([stripes, turned, moved]))
    assert float(a @ b) < 0.2
    assert float(a @ c) > 0.99


# --------------------------------------------------------------------------------------- from a picture to its moment


def film(path: Path, seeds: Sequence[int], seconds: float = 2.0) -> Path:
    def pictures() -> Iterator[Picture]:
        for seed in seeds:
            for step in range(round(seconds * 5)):
                yield np.roll(textured(seed), 2 * step, axis=1)

    return render(path, pictures(), fps=5, options={"preset": "ultrafast"})


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    for number in range(6):
        film(folder / f"{number}.mp4", range(3 * number, 3 * number + 3))
    return folder


@pytest.fixture(scope="module")
def hashes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    """Ten films of one picture each, by a hash that knows nothing of parts of pictures."""
    folder = tmp_path_factory.mktemp("hashes")
    (folder / "films").mkdir()
    for number in range(10):
        film(folder / "films" / f"{number}.mp4", [number])
    with Library.open(folder / "lib") as lib:
        lib.index(folder / "films", model="opencv-pdq")
        yield lib


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_finds_its_moment(name: str, films: Path, tmp_path: Path) -> None:
    with Library.open(tmp_path / "lib") as lib:
        lib.index(sorted(films.glob("[0-2].mp4")), model=name)
        query = Image.fromarray(np.roll(textured(4), 4, axis=1)).resize((200, 125))  # film 1, its second picture
        first = lib.search(image=query)[0]
        assert Path(first.video.path).name == "1.mp4"
        assert first.start <= 2.4 < first.end
        assert [e.space for e in first.evidence] == [name, "layout"]
        with pytest.raises(QueryError, match="no text side"):
            lib.search("a cat")
    with Library.open(tmp_path / "lib") as lib:  # read back from disk
        assert lib.stamp is not None and lib.stamp.model == name
        assert Path(lib.search(image=query)[0].video.path).name == "1.mp4"


def distorted(seed: int) -> Image.Image:
    """A part of a picture, mirrored and turned by 15 degrees: as a whole it looks like nothing in the library."""
    image = Image.fromarray(textured(seed)).crop((60, 30, 300, 180)).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return image.rotate(15, Image.Resampling.BICUBIC, expand=True)


def test_keypoints_find_a_cropped_and_turned_copy_among_distractors() -> None:
    from footage.encoders.opencv.keypoints import Keypoints

    frames = [textured(seed) for seed in range(10)]
    answers = Keypoints()(np.asarray(distorted(7)), frames)
    assert [a.strength >= 0.5 for a in answers] == [n == 7 for n in range(10)]
    assert answers[7].strength > 0.99 and answers[7].score > 20
    assert answers == Keypoints()(np.asarray(distorted(7)), frames)  # RANSAC draws, but always the same


@pytest.mark.parametrize(
    "picture", [np.zeros((200, 320, 3), np.uint8), np.zeros((1, 1, 3), np.uint8), textured(99), scene(3)]
)
def test_keypoints_do_not_verify_an_unrelated_picture(picture: Picture) -> None:
    from footage.encoders.opencv.keypoints import Keypoints

    frames = [textured(0), scene(1), np.zeros((90, 160, 3), np.uint8), np.zeros((1, 1, 3), np.uint8)]
    assert all(a.strength < 0.1 for a in Keypoints()(picture, frames))
    assert Keypoints()(picture, []) == []


def test_a_small_logo_in_common_verifies_nothing() -> None:
    from footage.encoders.opencv.keypoints import Keypoints

    here, there = textured(1).copy(), textured(2).copy()
    here[8:28, 290:312] = there[8:28, 290:312] = textured(50, 22, 20)
    (answer,) = Keypoints()(here, [there])
    assert answer.strength < 0.5


def first_of(moments: Sequence[Moment]) -> str:
    return Path(moments[0].video.path).stem


def test_a_verified_moment_comes_first(hashes: Library) -> None:
    queries = [distorted(seed) for seed in range(10)]
    plain = [hashes.search(image=query, k=50, verify=False) for query in queries]
    checked = [hashes.search(image=query, k=50, verify=True) for query in queries]
    assert sum(first_of(found) == str(n) for n, found in enumerate(plain)) < 10
    assert [first_of(found) for found in checked] == [str(n) for n in range(10)]
    for before, moments in zip(plain, checked, strict=True):
        assert all(e.channel != "keypoints" for m in before for e in m.evidence)
        (row,) = [e for e in moments[0].evidence if e.channel == "keypoints"]
        assert moments[0].strength >= row.strength >= 0.5 and row.query == "(image)"
        assert [m.score for m in moments] == sorted((m.score for m in moments), reverse=True)
        assert {(m.video.id, m.start) for m in moments} == {(m.video.id, m.start) for m in before}


def test_pages_of_verified_answers_fit_together(hashes: Library) -> None:
    query = distorted(4)
    whole = hashes.search(image=query, k=50, verify=True)
    pages = [m for offset in range(0, 50, 4) for m in hashes.search(image=query, k=4, offset=offset, verify=True)]
    assert pages == whole and len(whole) >= 10


def test_what_is_not_verified_stays_in_its_order(hashes: Library) -> None:
    plain = hashes.search(image=textured(99), verify=False)
    checked = hashes.search(image=textured(99), verify=True)
    assert [(m.video.id, m.start, m.score, m.strength) for m in checked] == [
        (m.video.id, m.start, m.score, m.strength) for m in plain
    ]
    assert {e.channel for m in checked for e in m.evidence} == {"image", "copy", "keypoints"}


def test_lost_key_frames_are_no_reason_to_fail(films: Path, tmp_path: Path) -> None:
    with Library.open(tmp_path / "lib") as lib:
        lib.index([films / "0.mp4", films / "1.mp4"], model="opencv-dhash")
        lib.frames.delete([lib.get(str(films / "0.mp4")).id])
        with pytest.raises(NotIndexed):
            lib.frame_times(lib.get(str(films / "0.mp4")).id)
        moments = lib.search(image=textured(1), verify=True)
        looked = {Path(m.video.path).name: "keypoints" in {e.channel for e in m.evidence} for m in moments}
        assert looked == {"0.mp4": False, "1.mp4": True}


def test_the_setting_and_parts_that_cannot_be_verified(films: Path, tmp_path: Path) -> None:
    from footage.config import Settings

    with Library.open(tmp_path / "lib", settings=Settings(verify=True)) as lib:
        lib.index(films / "0.mp4", model="opencv-pdq")
        assert "keypoints" in {e.channel for e in lib.search(image=textured(0))[0].evidence}
        assert "keypoints" not in {e.channel for e in lib.search(image=textured(0), verify=False)[0].evidence}
        assert "keypoints" not in {e.channel for e in lib.search(video=films / "0.mp4")[0].evidence}
        both = [parse_part("video", str(films / "0.mp4")), *parts(textured(0), -1.0), *parts(textured(1), 1.0)]
        rows = [e for e in lib.search(parts=both)[0].evidence if e.channel == "keypoints"]
        assert len(rows) == 1  # of what must not be there nothing is verified


def parts(picture: Picture, weight: float) -> list[Any]:
    return [Part("image", picture, weight)]


# ---------------------------------------------------------------------------------------------- the command and the API


def footage(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "footage", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_command_verifies(hashes: Library, tmp_path: Path) -> None:
    distorted(4).save(tmp_path / "query.png")
    ask = ("search", "--image", tmp_path / "query.png", "--library", hashes.path)
    done = footage(*ask, "--verify", "--json", "-k", 1)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert Path(found["path"]).name == "4.mp4" and found["evidence"][-1]["channel"] == "keypoints"
    done = footage("search", "a cat", "--verify", "--library", hashes.path)
    assert done.returncode == 2 and "nothing to verify" in done.stderr


def test_the_api_verifies(hashes: Library) -> None:
    pytest.importorskip("fastapi")
    from footage.api.models import SearchIn
    from footage.api.options import ServeOptions
    from footage.api.search_routes import run
    from footage.api.service import Service

    service = Service.of(hashes, ServeOptions())
    try:
        video = hashes.get(hashes.search(image=textured(4))[0].video.id)
        part = {"kind": "image", "moment": {"video": video.id, "at": 0.2}}
        for verify in (True, False, None):
            answer = run(SearchIn.model_validate({"parts": [part], "verify": verify}), service)
            channels = {e.channel for e in answer.moments[0].evidence}
            assert ("keypoints" in channels) == bool(verify)
            assert answer.moments[0].video == video.id
    finally:
        service.close()
