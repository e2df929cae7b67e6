"""Text-image models as ONNX: the three layouts, against the same arithmetic in numpy."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx_models
import pytest
from PIL import Image

from footage import Library, encoders
from footage.config import Settings
from footage.encoders import tokens
from footage.encoders.onnx import OnnxEncoder, layouts
from footage.encoders.preprocess import Preprocess, from_open_clip, from_transformers
from footage.errors import ConfigError, EncoderError, EncoderUnavailable
from footage.media import read_picture

TEXTS = [
    "a red car", "一只猫坐在沙发上，看着窗外。", "😀🏽‍🚀 party 🎉", "", "word " * 60, "Two DOGS, on the beach!",
    "a\tb\nc",
]  # fmt: skip


def picture(seed: int, height: int = 61, width: int = 87) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.fixture
def immich(tmp_path: Path) -> tuple[Path, onnx_models.Small]:
    return tmp_path / "immich", onnx_models.immich(tmp_path / "immich")


@pytest.fixture
def xenova(tmp_path: Path) -> tuple[Path, onnx_models.Small]:
    return tmp_path / "xenova", onnx_models.xenova(tmp_path / "xenova")


def opened(folder: Path, variant: str = "") -> OnnxEncoder:
    encoder = encoders.load(f"onnx:{folder}{variant}", cache_dir=folder.parent / "cache")
    assert isinstance(encoder, OnnxEncoder)
    return encoder


def only(vectors: dict[str, Any]) -> Any:
    [value] = vectors.values()
    return value


def test_immich_gives_what_numpy_gives(immich: tuple[Path, onnx_models.Small]) -> None:
    folder, small = immich
    encoder = opened(folder)
    images = np.stack([picture(n) for n in range(5)])
    steps = from_open_clip(json.loads((folder / "visual/preprocess_cfg.json").read_text()))
    assert np.abs(only(encoder.encode_images(images)) - small.image_vectors(steps(images))).max() < 1e-5
    rules = tokens.TokenRules(length=12, pad="<pad>", clean="canonicalize")
    ids = tokens.Tokeniser.read(folder / "textual/tokenizer.json", rules)(TEXTS).ids
    assert np.abs(only(encoder.encode_texts(TEXTS)) - small.text_vectors(ids)).max() < 1e-5
    assert encoder.row.dim == onnx_models.DIM
    assert encoder.row.answers == ("text", "image")


def test_xenova_gives_what_numpy_gives(xenova: tuple[Path, onnx_models.Small]) -> None:
    folder, small = xenova
    encoder = opened(folder)
    images = np.stack([picture(n) for n in range(19)])  # more than one batch
    steps = from_transformers(json.loads((folder / "preprocessor_config.json").read_text()))
    assert np.abs(only(encoder.encode_images(images)) - small.image_vectors(steps(images))).max() < 1e-5
    reader = tokens.Tokeniser.read(folder / "tokenizer.json", tokens.TokenRules(16, "<|endoftext|>"))
    assert np.abs(only(encoder.encode_texts(TEXTS)) - small.text_vectors(reader(TEXTS).ids)).max() < 1e-5


def test_a_variant_is_another_file_and_another_space(xenova: tuple[Path, onnx_models.Small]) -> None:
    folder, _ = xenova
    small = onnx_models.xenova(folder, seed=9, variant="quantized")
    plain, other = opened(folder), opened(folder, "#quantized")
    assert plain.fingerprint != other.fingerprint
    assert plain.row.spaces[0].name != other.row.spaces[0].name
    ids = tokens.Tokeniser.read(folder / "tokenizer.json", tokens.TokenRules(16, "<|endoftext|>"))(["a red car"]).ids
    assert np.abs(only(other.encode_texts(["a red car"])) - small.text_vectors(ids)).max() < 1e-5


def test_our_own_export_says_everything_in_one_file(immich: tuple[Path, onnx_models.Small]) -> None:
    folder, _ = immich
    before = opened(folder)
    steps = from_open_clip(json.loads((folder / "visual/preprocess_cfg.json").read_text()))
    own = {
        "format": 1,
        "dim": onnx_models.DIM,
        "preprocess": steps.as_dict(),
        "tokens": {"length": 12, "pad": "<pad>", "clean": "canonicalize"},
    }
    onnx_models.write(folder / "footage.json", own)
    for name in ("visual/preprocess_cfg.json", "config.json", "textual/tokenizer_config.json"):
        (folder / name).write_text("{}")  # not asked any more
    after = opened(folder)
    assert after.row.dim == onnx_models.DIM
    assert np.array_equal(only(after.encode_texts(TEXTS)), only(before.encode_texts(TEXTS)))
    assert np.array_equal(only(after.encode_images(picture(1)[None])), only(before.encode_images(picture(1)[None])))


def test_a_graph_that_normalises_itself_is_given_bytes(tmp_path: Path) -> None:
    small = onnx_models.immich(tmp_path / "raw", raw=True)
    images = np.stack([picture(n) for n in range(3)])
    steps = from_open_clip(json.loads((tmp_path / "raw/visual/preprocess_cfg.json").read_text()))
    vectors = only(opened(tmp_path / "raw").encode_images(images))
    assert np.abs(vectors - small.image_vectors(steps(images))).max() < 1e-5


@pytest.mark.parametrize("rows", [1, 3, "batch"])
def test_a_batch_gives_what_single_ones_give(tmp_path: Path, rows: int | str) -> None:
    """Whatever number of rows the graph was made for."""
    onnx_models.immich(tmp_path / "model", rows=rows)
    encoder = opened(tmp_path / "model")
    images = np.stack([picture(n) for n in range(5)])
    single = np.concatenate([only(encoder.encode_images(image[None])) for image in images])
    assert np.abs(only(encoder.encode_images(images)) - single).max() < 1e-6
    single = np.concatenate([only(encoder.encode_texts([text])) for text in TEXTS])
    assert np.abs(only(encoder.encode_texts(TEXTS)) - single).max() < 1e-6
    assert only(encoder.encode_texts([])).shape == (0, onnx_models.DIM)
    assert only(encoder.encode_images(images[:0])).shape == (0, onnx_models.DIM)


def test_a_picture_gives_one_vector_however_it_comes(tmp_path: Path, immich: tuple[Path, onnx_models.Small]) -> None:
    encoder = opened(immich[0])
    array = picture(4)
    Image.fromarray(array).save(tmp_path / "picture.png")
    ways = [tmp_path / "picture.png", str(tmp_path / "picture.png"), Image.fromarray(array), array]
    vectors = [only(encoder.encode_images(read_picture(way)[None])) for way in ways]
    assert all(np.array_equal(vectors[0], other) for other in vectors[1:])


def test_a_query_in_words_loads_no_image_tower(immich: tuple[Path, onnx_models.Small]) -> None:
    """Not even its file is read: it may be gone."""
    encoder = opened(immich[0])
    assert encoder.fingerprint
    (immich[0] / "visual/model.onnx").unlink()
    assert only(encoder.encode_texts(["a red car"])).shape == (1, onnx_models.DIM)
    with pytest.raises(EncoderError, match="cannot load"):
        encoder.encode_images(picture(1)[None])


def test_neither_opening_nor_listing_loads_a_runtime(immich: tuple[Path, onnx_models.Small]) -> None:
    code = (
        "import sys; from pathlib import Path; from footage import encoders\n"
        f"e = encoders.load('onnx:{immich[0].as_posix()}', cache_dir=Path({str(immich[0].parent / 'c')!r}))\n"
        "e.fingerprint, e.row, encoders.ROWS\n"
        "print([m for m in ('onnxruntime', 'onnx', 'torch', 'tokenizers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr


def test_the_fingerprint_follows_the_files(immich: tuple[Path, onnx_models.Small]) -> None:
    folder, _ = immich
    before = opened(folder).fingerprint
    assert opened(folder).fingerprint == before
    shutil.copytree(folder, folder.with_name("copy"))
    assert opened(folder.with_name("copy")).fingerprint == before
    onnx_models.immich(folder, seed=7)
    assert opened(folder).fingerprint != before


def test_a_search_with_words_and_pictures_runs_on_it(tmp_path: Path, immich: tuple[Path, onnx_models.Small]) -> None:
    from clips import clip

    clip(tmp_path / "clip.mp4", 1, 2, 3, 4)
    settings = Settings(cache=str(tmp_path / "cache"))
    with Library.open(tmp_path / "library", settings=settings) as library:
        [done] = library.index(tmp_path / "clip.mp4", model=f"onnx:{immich[0]}")
        assert done.status == "indexed"
    with Library.open(tmp_path / "library", settings=settings) as library:
        assert library.stamp is not None
        space = library.encoder.row.spaces[0].name
        assert (library.stamp.roles["text"], library.stamp.roles["image"]) == (space, space)
        [moment, *_] = library.search("a red car", k=1)
        assert moment.evidence[0].space == space
        assert 0 <= moment.strength <= 1  # by the z-score: only the starter is calibrated
        [moment, *_] = library.search(image=picture(3), k=1)
        assert {e.space for e in moment.evidence} == {space, "layout"}


# ------------------------------------------------------------------------------------------------------------- errors


def cut(path: Path, share: float = 0.6) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


def fails(folder: Path, *, images: bool) -> EncoderError:
    with pytest.raises(EncoderError) as caught:
        encoder = opened(folder)
        if images:
            encoder.encode_images(picture(1)[None])
        else:
            encoder.encode_texts(["a red car"])
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
    return caught.value


@pytest.mark.parametrize("share", [0, 0.01, 0.6, 0.999])
def test_a_graph_cut_short(immich: tuple[Path, onnx_models.Small], share: float) -> None:
    cut(immich[0] / "visual/model.onnx", share)
    assert "visual" in str(fails(immich[0], images=True))


def test_towers_in_each_others_place(immich: tuple[Path, onnx_models.Small]) -> None:
    folder = immich[0]
    shutil.copyfile(folder / "visual/model.onnx", folder / "textual/model.onnx")
    fails(folder, images=False)
    onnx_models.immich(folder)
    shutil.copyfile(folder / "textual/model.onnx", folder / "visual/model.onnx")
    fails(folder, images=True)


def test_the_tokeniser_of_another_model(immich: tuple[Path, onnx_models.Small]) -> None:
    folder = immich[0]
    onnx_models.clip_like().save(str(folder / "textual/tokenizer.json"))
    assert "<pad>" in str(fails(folder, images=False))
    (folder / "textual/tokenizer.json").write_text('{"version": "1.0"')
    assert "not a tokeniser" in str(fails(folder, images=False))


def test_a_graph_that_gives_no_vector(immich: tuple[Path, onnx_models.Small]) -> None:
    import onnx

    path = immich[0] / "visual/model.onnx"
    model = onnx.load(str(path))
    del model.graph.output[1]
    onnx.save(model, str(path))
    assert "no vector" in str(fails(immich[0], images=True))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", "{"),
        ("config.json", "[]"),
        ("config.json", '{"embed_dim": 24}'),
        ("visual/preprocess_cfg.json", "{}"),
        ("visual/preprocess_cfg.json", '{"size": [32, 32], "resize_mode": "stretch"}'),
        ("footage.json", '{"dim": 24}'),
        ("footage.json", '{"dim": 24, "preprocess": {"size": [8, 8]}, "tokens": {"length": 12, "colour": 1}}'),
    ],
)
def test_settings_that_make_no_sense(immich: tuple[Path, onnx_models.Small], name: str, content: str) -> None:
    (immich[0] / name).write_text(content)
    assert Path(name).name in str(fails(immich[0], images=True))


def test_folders_that_hold_no_model(tmp_path: Path) -> None:
    with pytest.raises(EncoderUnavailable, match="no model in"):
        encoders.load(f"onnx:{tmp_path}", cache_dir=tmp_path / "cache")
    for name in ("onnx:", "onnx:/nowhere/at/all", "onnx:./nowhere", "onnx:one-word"):
        with pytest.raises(EncoderError, match="no such folder"):
            encoders.lookup(name)


def test_a_model_of_another_size_than_its_row_says(tmp_path: Path, immich: tuple[Path, onnx_models.Small]) -> None:
    values = json.loads((immich[0] / "config.json").read_text())
    onnx_models.write(immich[0] / "config.json", {**values, "embed_dim": 512})
    error = fails(immich[0], images=True)
    assert "24" in str(error)
    assert "512" in str(error)


def test_a_device_that_this_onnxruntime_does_not_have(tmp_path: Path, immich: tuple[Path, onnx_models.Small]) -> None:
    """Never in silence somewhere else."""
    import onnxruntime

    folder, _ = immich
    offered = onnxruntime.get_available_providers()
    for device, says, provider in (("cuda", "CUDA", "CUDAExecution"), ("mps", "Core ML", "CoreMLExecution")):
        if f"{provider}Provider" not in offered:
            encoder = encoders.load(f"onnx:{folder}", options=encoders.Options(tmp_path, device))
            with pytest.raises(EncoderUnavailable, match=f"this onnxruntime has no {says}") as caught:
                encoder.encode_texts(["a red car"])
            assert "--device cpu" in caught.value.hint
    encoder = encoders.load(f"onnx:{folder}", options=encoders.Options(tmp_path, "quantum"))
    with pytest.raises(ConfigError, match="unknown device: quantum"):
        encoder.encode_texts(["a red car"])


def test_a_library_hands_its_device_on(tmp_path: Path, immich: tuple[Path, onnx_models.Small]) -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    from clips import clip

    clip(tmp_path / "a.mp4", 1, 2)
    path = str(tmp_path / "library")
    for device, fails in (("cpu", False), ("cuda", True)):
        library = Library.open(path, settings=Settings(cache=str(tmp_path / "cache"), device=device))
        if not fails:
            library.index(tmp_path / "a.mp4", model=f"onnx:{immich[0]}")
            assert library.search("a red car")
            continue
        with pytest.raises(EncoderUnavailable, match="has no CUDA"):
            library.search("a red car")


def test_our_own_files_of_a_model_without_words(tmp_path: Path, immich: tuple[Path, onnx_models.Small]) -> None:
    folder, small = immich
    own = tmp_path / "own"
    (own / "visual").mkdir(parents=True)
    (folder / "visual/model.onnx").rename(own / "visual/model.onnx")
    steps = Preprocess(size=(32, 32), resize="squash", mean=(0.5,) * 3, std=(0.5,) * 3)
    layouts.write_own(own, "a model", onnx_models.DIM, steps, None)
    encoder = encoders.load(f"onnx:{own}", cache_dir=tmp_path / "cache")
    assert encoder.row.answers == ("image",)
    assert (encoder.row.dim, encoder.row.languages) == (onnx_models.DIM, ())
    photo = picture(3)
    wanted = small.image_vectors(steps([photo]))
    assert np.abs(only(encoder.encode_images([photo])) - wanted).max() < 1e-5
    with pytest.raises(EncoderError, match="answers no words"):
        encoder.encode_texts(["a red car"])
    facts = json.loads((own / "footage.json").read_text())
    (own / "footage.json").write_text(json.dumps({**facts, "format": 2}))
    with pytest.raises(EncoderError, match="a newer version"):
        encoders.load(f"onnx:{own}", cache_dir=tmp_path / "cache")


def test_exporting_without_torch_says_what_to_install(tmp_path: Path) -> None:
    if find_spec("torch"):
        pytest.skip("torch is here")
    run = [sys.executable, "-m", "footage", "models", "export", "clip-vit-b-32", "--to", str(tmp_path / "model")]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert done.stderr.startswith(
        "error: torch and onnxscript, which export, are not installed\n\nhint: run: pip install"
    )
    assert "footage[onnx-export]" in done.stderr
    assert not list(tmp_path.iterdir())


def test_an_onnx_model_in_int8(tmp_path: Path, xenova: tuple[Path, onnx_models.Small]) -> None:
    """Without torch: of any of the three layouts, into our own."""
    from footage.encoders.export import export

    folder, _ = xenova
    with pytest.raises(ConfigError, match="is ONNX already"):
        export(f"onnx:{folder}", tmp_path / "int8", cache_dir=tmp_path / "cache")
    made = export(f"onnx:{folder}", tmp_path / "int8", int8=True, cache_dir=tmp_path / "cache")
    assert (made.dim, made.answers, made.apart) == (onnx_models.DIM, ("text", "image"), {})
    assert sorted(made.agreement) == ["image", "text"]
    plain, coarse = opened(folder), opened(tmp_path / "int8")
    photos = np.stack([picture(n) for n in range(3)])
    for wanted, found in (
        (only(plain.encode_texts(TEXTS)), only(coarse.encode_texts(TEXTS))),
        (only(plain.encode_images(photos)), only(coarse.encode_images(photos))),
    ):
        cosines = (wanted * found).sum(axis=1)
        assert 0.95 < cosines.min() < 1 - 1e-7
    assert coarse.fingerprint != plain.fingerprint
    assert coarse.row.spaces[0].name != plain.row.spaces[0].name
    assert {path.name for path in tmp_path.iterdir()} == {"xenova", "int8", "cache"}
