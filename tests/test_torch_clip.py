"""OpenAI's CLIP and open_clip on torch, beside open_clip itself, on small checkpoints in the real formats."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx_models
import pytest
import reference
import torch_models
from torch_models import TEXTS, images, only, same

from footage import encoders
from footage.encoders import weights
from footage.encoders.row import Options
from footage.errors import EncoderError, EncoderUnavailable, UnknownEncoder
from footage.media import read_picture

torch = reference.torch_()
open_clip = reference.need("open_clip")
warnings.filterwarnings("ignore", category=DeprecationWarning)


def opened(where: object, tmp: Path) -> Any:
    return encoders.load(str(where), cache_dir=tmp / "cache")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One checkpoint of each kind; tests that damage one copy it."""
    folder = tmp_path_factory.mktemp("made")
    torch_models.openai(folder / "state.pt", archive=False)
    torch_models.openai(folder / "archive.pt", archive=True)
    torch_models.open_clip_folder(folder / "plain", torch_models.OPENAI, {"interpolation": "bicubic"})
    torch_models.open_clip_folder(folder / "siglip", torch_models.SIGLIP, torch_models.HALF)
    return folder


@pytest.mark.parametrize("file", ["state.pt", "archive.pt"])
def test_openai_clip_equals_open_clip(made: Path, tmp_path: Path, file: str) -> None:
    theirs = open_clip.openai.load_openai_model(str(made / file), precision="fp32", device="cpu").eval()
    ours = opened(f"clip:{made / file}", tmp_path)
    steps = open_clip.transform.image_transform_v2(open_clip.transform.PreprocessCfg(size=64), is_train=False)
    with torch.no_grad():
        pixels = torch.stack([steps(image) for image in images()])
        same(only(ours.encode_images(reference.photographs())), theirs.encode_image(pixels))
        ids = open_clip.tokenizer.SimpleTokenizer()(TEXTS, context_length=20)
        same(only(ours.encode_texts(TEXTS)), theirs.encode_text(ids))
    assert ours.row.dim == 24
    assert ours.input_size(640, 480) == (85, 64)


@pytest.mark.parametrize("kind", ["plain", "siglip"])
def test_a_folder_equals_open_clip(made: Path, tmp_path: Path, kind: str) -> None:
    theirs, _, steps = open_clip.create_model_and_transforms(f"local-dir:{made / kind}")
    ours = opened(f"open_clip:local-dir:{made / kind}", tmp_path)
    tokeniser = open_clip.get_tokenizer(f"local-dir:{made / kind}")
    with torch.no_grad():
        pixels = torch.stack([steps(image) for image in images()])
        same(only(ours.encode_images(reference.photographs())), theirs.eval().encode_image(pixels))
        same(only(ours.encode_texts(TEXTS)), theirs.encode_text(tokeniser(TEXTS)))


def test_a_text_tower_of_transformers_equals_open_clip(tmp_path: Path) -> None:
    """XLM-RoBERTa, as in LAION's multilingual CLIP; the shape is read from a folder here."""
    reference.need("transformers")
    from transformers import XLMRobertaConfig

    vocabulary = onnx_models.gemma_like().get_vocab_size()
    width: dict[str, Any] = {"hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 48}
    small = XLMRobertaConfig(
        vocab_size=vocabulary, max_position_embeddings=40, type_vocab_size=1, num_hidden_layers=2, **width
    )
    small.save_pretrained(tmp_path / "text")
    model: dict[str, Any] = {**torch_models.OPENAI, "quick_gelu": False}
    model["text_cfg"] = {
        "hf_model_name": str(tmp_path / "text"), "hf_tokenizer_name": "beside", "hf_pooler_type": "mean_pooler",
        "hf_proj_type": "mlp", "context_length": 24,
    }  # fmt: skip
    torch_models.open_clip_folder(tmp_path / "model", model, {})
    theirs = open_clip.create_model(f"local-dir:{tmp_path / 'model'}").eval()
    tokeniser = open_clip.get_tokenizer(f"local-dir:{tmp_path / 'model'}")
    ours = opened(f"open_clip:{tmp_path / 'model'}", tmp_path)
    with torch.no_grad():
        same(only(ours.encode_texts(TEXTS)), theirs.encode_text(tokeniser(TEXTS)))


def test_a_known_text_tower_fills_rows_with_its_own_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no tokenizer_config.json tells it: LAION's repository has none, and 0 begins a text there."""
    from footage.encoders import open_clip as module

    folder = tmp_path / "model"
    folder.mkdir()
    onnx_models.gemma_like().save(str(folder / "tokenizer.json"))
    text = {"hf_model_name": "small", "hf_tokenizer_name": "small", "context_length": 9}
    shape = {"embed_dim": 8, "vision_cfg": {"image_size": 32}, "text_cfg": text}
    onnx_models.write(folder / "open_clip_config.json", {"model_cfg": shape, "preprocess_cfg": {}})
    (folder / "open_clip_model.safetensors").write_bytes(b"")
    monkeypatch.setattr(module, "TEXT_TOWERS", {"small": {"pad_token_id": 3}})
    [rows] = opened(f"open_clip:{folder}", tmp_path).make_tokeniser()(["a red car"])
    assert rows[0, -1] == 3
    onnx_models.write(folder / "tokenizer_config.json", {"pad_token": "<pad>"})
    [rows] = opened(f"open_clip:{folder}", tmp_path).make_tokeniser()(["a red car"])
    assert rows[0, -1] == 0


def test_the_known_text_towers_have_the_shapes_that_open_clip_asks_for() -> None:
    """On the meta device: no memory is taken."""
    from footage.encoders.open_clip import TEXT_TOWERS, text_tower

    configs = [open_clip.get_model_config(name) for name in ("xlm-roberta-base-ViT-B-32", "nllb-clip-base-siglip",
               "roberta-ViT-B-32", "xlm-roberta-large-ViT-H-14", "nllb-clip-large-siglip")]  # fmt: skip
    assert {config["text_cfg"]["hf_model_name"] for config in configs} == set(TEXT_TOWERS)
    with torch.device("meta"):
        tower = text_tower(512, configs[0]["text_cfg"], quick_gelu=False)
    assert sum(weight.numel() for weight in tower.parameters()) == 278_043_648 - 590_592 + 640 * 768 + 512 * 640


def test_a_tag_that_open_clip_knows() -> None:
    row = encoders.lookup("open_clip:ViT-B-32/laion2b_s34b_b79k")
    assert row.dim == 512
    assert row.weights is not None
    assert row.weights.repo
    assert row.variant == "ViT-B-32/laion2b_s34b_b79k"
    assert encoders.lookup("open_clip:someone/a-model").weights is not None
    for name in ("open_clip:", "open_clip:ViT-B-32", "open_clip:./nowhere"):
        with pytest.raises(UnknownEncoder, match="open_clip knows no"):
            encoders.lookup(name)
    with pytest.raises(EncoderError, match="no such file"):
        encoders.lookup("clip:./nowhere.pt")


def test_a_tag_without_a_configuration_beside_it(made: Path, tmp_path: Path) -> None:
    """The shape comes from open_clip then, and the weights must be of that shape."""
    from footage.encoders.open_clip import OpenClip
    from footage.encoders.records import Held

    shutil.copyfile(made / "plain/open_clip_model.safetensors", tmp_path / "open_clip_model.safetensors")
    row = encoders.lookup("open_clip:ViT-B-32/laion2b_s34b_b79k")
    encoder = OpenClip(row, Held(tmp_path, {"open_clip_model.safetensors": "0"}), Options())
    assert encoder.steps.size == (224, 224)
    with pytest.raises(EncoderError, match="VisionTransformer"):
        encoder.encode_images(reference.photographs()[:1])


@pytest.mark.parametrize("name", ["clip:{}/archive.pt", "clip:{}/state.pt", "open_clip:{}/siglip"])
def test_a_batch_gives_what_single_ones_give(made: Path, tmp_path: Path, name: str) -> None:
    encoder = opened(name.format(made), tmp_path)
    photos = reference.photographs()
    single = np.concatenate([only(encoder.encode_images([photo])) for photo in photos])
    assert np.abs(only(encoder.encode_images(photos * 3))[: len(photos)] - single).max() < 1e-5
    single = np.concatenate([only(encoder.encode_texts([text])) for text in TEXTS])
    assert np.abs(only(encoder.encode_texts(TEXTS)) - single).max() < 1e-5
    assert only(encoder.encode_texts([])).shape == only(encoder.encode_images([])).shape == (0, encoder.row.dim)


def test_a_picture_gives_one_vector_however_it_comes(made: Path, tmp_path: Path) -> None:
    encoder = opened(f"open_clip:{made / 'plain'}", tmp_path)
    picture = images()[2]
    picture.save(tmp_path / "picture.png")
    ways = [tmp_path / "picture.png", str(tmp_path / "picture.png"), picture, np.asarray(picture)]
    vectors = [only(encoder.encode_images(read_picture(way)[None])) for way in ways]
    assert all(np.array_equal(vectors[0], other) for other in vectors[1:])


@pytest.mark.parametrize("name", ["clip:{}/archive.pt", "clip:{}/state.pt", "open_clip:{}/siglip"])
def test_a_query_in_words_reads_no_image_tower(made: Path, tmp_path: Path, name: str) -> None:
    """The weights of the image tower are not asked for, and no network for pictures is made."""
    from footage.encoders import torch_files

    encoder = opened(name.format(made), tmp_path)
    read: set[str] = set()
    before = torch_files.read_state

    def watched(path: Path, wanted: Any = lambda _: True) -> dict[str, Any]:
        found = before(path, wanted)
        read.update(found)
        return found

    from footage.encoders import clip
    from footage.encoders import open_clip as ours

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ours, "read_state", watched)
        patch.setattr(clip, "read_state", watched)
        networks = {id(o) for o in _networks()}
        encoder.encode_texts(["a red car"])
        new = [type(o).__name__ for o in _networks() if id(o) not in networks]
    assert any("ln_final" in one for one in read)
    assert {one for one in read if one.startswith("visual.")} <= {"visual.conv1.weight", "visual.positional_embedding"}
    assert "TextTransformer" in new
    assert not {"VisionTransformer", "TimmModel"} & set(new)


def _networks() -> list[Any]:
    import gc

    return [o for o in gc.get_objects() if issubclass(type(o), torch.nn.Module)]


def test_the_fingerprint_follows_the_file(made: Path, tmp_path: Path) -> None:
    one = opened(f"clip:{made / 'state.pt'}", tmp_path).fingerprint
    assert one == opened(f"clip:{made / 'state.pt'}", tmp_path).fingerprint
    torch_models.openai(tmp_path / "state.pt", archive=False, seed=9)
    assert one != opened(f"clip:{tmp_path / 'state.pt'}", tmp_path).fingerprint


def test_a_search_with_words_and_pictures_runs_on_it(made: Path, tmp_path: Path) -> None:
    from clips import clip

    from footage import Library
    from footage.config import Settings

    clip(tmp_path / "clip.mp4", 1, 2, 3, 4)
    settings = Settings(cache=str(tmp_path / "cache"))
    with Library.open(tmp_path / "library", settings=settings) as library:
        [done] = library.index(tmp_path / "clip.mp4", model=f"open_clip:{made / 'siglip'}")
        assert done.status == "indexed"
    with Library.open(tmp_path / "library", settings=settings) as library:
        space = library.encoder.row.spaces[0].name
        [moment, *_] = library.search("a red car", k=1)
        assert moment.evidence[0].space == space
        [moment, *_] = library.search(image=images()[0], k=1)
        assert space in {e.space for e in moment.evidence}


# ------------------------------------------------------------------------------------------------------------- errors


def fails(encoder: Any) -> EncoderError:
    with pytest.raises(EncoderError) as caught:
        encoder.encode_images(reference.photographs()[:1])
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500
    return caught.value


@pytest.mark.parametrize("file", ["state.pt", "archive.pt", "plain/open_clip_model.safetensors"])
@pytest.mark.parametrize("share", [0, 0.01, 0.6, 0.999])
def test_a_file_cut_short(made: Path, tmp_path: Path, file: str, share: float) -> None:
    shutil.copytree(made, tmp_path / "copy")
    path = tmp_path / "copy" / file
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    name = f"clip:{path}" if file.endswith(".pt") else f"open_clip:{path.parent}"
    assert path.name in str(fails(opened(name, tmp_path)))


def test_weights_of_another_architecture(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path / "copy")
    weights_ = tmp_path / "copy/siglip/open_clip_model.safetensors"
    shutil.copyfile(made / "plain/open_clip_model.safetensors", weights_)
    fails(opened(f"open_clip:{weights_.parent}", tmp_path))
    torch.save({"fc.weight": torch.zeros(3, 3)}, str(tmp_path / "other.pt"))
    assert "no CLIP" in str(fails(opened(f"clip:{tmp_path / 'other.pt'}", tmp_path)))
    row = encoders.ROWS["clip-vit-b-32"]  # says 512 numbers, and gets a CLIP of 24
    from footage.encoders.clip import OpenaiClip
    from footage.encoders.records import Held

    error = fails(OpenaiClip(row, Held(made, {"state.pt": "0"}), Options()))
    assert "24" in str(error)
    assert "512" in str(error)


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"model_cfg": {"embed_dim": 4}}'])
def test_a_configuration_that_makes_no_sense(made: Path, tmp_path: Path, content: str) -> None:
    shutil.copytree(made / "plain", tmp_path / "copy")
    (tmp_path / "copy/open_clip_config.json").write_text(content)
    assert "open_clip_config.json" in str(fails(opened(f"open_clip:{tmp_path / 'copy'}", tmp_path)))


def test_a_pull_of_the_wrong_file_leaves_nothing(made: Path, tmp_path: Path) -> None:
    """OpenAI's digests are pinned."""
    (tmp_path / "stick").mkdir()
    shutil.copyfile(made / "archive.pt", tmp_path / "stick/ViT-B-32.pt")
    row = encoders.ROWS["clip-vit-b-32"]
    with pytest.raises(EncoderError, match=r"ViT-B-32\.pt") as caught:
        weights.pull(row, cache_dir=tmp_path / "cache", source=tmp_path / "stick")
    assert "\n" not in str(caught.value)
    assert not weights.is_here(row, tmp_path / "cache")
    assert [p.name for p in (tmp_path / "cache").rglob("*") if p.is_file() and p.suffix != ".lock"] == []
    with pytest.raises(EncoderUnavailable, match="not here"):
        encoders.load("clip-vit-b-32", cache_dir=tmp_path / "cache")


def test_a_pull_tries_the_model_before_it_takes_it(made: Path, tmp_path: Path) -> None:
    row = encoders.ROWS["siglip2"]  # wants 768 numbers
    with pytest.raises(EncoderError):
        weights.pull(row, cache_dir=tmp_path / "cache", source=made / "siglip")
    assert not weights.is_here(row, tmp_path / "cache")
