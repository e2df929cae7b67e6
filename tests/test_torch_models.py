"""Models of transformers, timm and torchvision, beside those libraries, on small checkpoints in the real formats."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference
import torch_models
from torch_models import HF, TEXTS, images, only, same

from footage import encoders
from footage.errors import EncoderError, UnknownEncoder

torch = reference.torch_()


def opened(where: object, tmp: Path) -> Any:
    return encoders.load(str(where), cache_dir=tmp / "cache")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders that are made when they are first asked for; tests that damage one copy it."""
    return tmp_path_factory.mktemp("made")


def hf(made: Path, kind: str) -> Path:
    if not (made / kind).exists():
        torch_models.hf_folder(made / kind, kind)
    return made / kind


def vit(made: Path) -> Path:
    if not (made / "vit").exists():
        torch_models.timm_folder(made / "vit", "test_vit")
    return made / "vit"


# ------------------------------------------------------------------------------------------------------- transformers


@pytest.mark.parametrize("kind", HF)
def test_equals_transformers(made: Path, tmp_path: Path, kind: str) -> None:
    transformers = reference.need("transformers")
    folder = hf(made, kind)
    theirs = transformers.AutoModel.from_pretrained(str(folder)).eval()
    processor = getattr(transformers, HF[kind][1] + "Pil").from_pretrained(str(folder))
    tokeniser = transformers.AutoTokenizer.from_pretrained(str(folder))
    ours = opened(f"hf:{folder}", tmp_path)
    plain = kind == "siglip"
    words = tokeniser(
        TEXTS, padding="max_length" if plain else True, truncation=True, return_tensors="pt",
        max_length=24 if plain else tokeniser.model_max_length,
    )  # fmt: skip
    given = {"input_ids": words["input_ids"]} if plain else {k: words[k] for k in ("input_ids", "attention_mask")}
    with torch.no_grad():
        same(only(ours.encode_texts(TEXTS)), theirs.get_text_features(**given).pooler_output)
        pixels = torch.cat([processor(image, return_tensors="pt")["pixel_values"] for image in images()])
        same(only(ours.encode_images(reference.photographs())), theirs.get_image_features(pixels).pooler_output)
    assert ours.row.answers == ("text", "image")
    assert ours.row.dim == only(ours.encode_texts(["x"])).shape[1]


@pytest.mark.parametrize("kind", HF)
def test_a_batch_gives_what_single_ones_give(made: Path, tmp_path: Path, kind: str) -> None:
    """Also of texts, whose rows are as long as the longest of them."""
    encoder = opened(f"hf:{hf(made, kind)}", tmp_path)
    photos = reference.photographs()
    single = np.concatenate([only(encoder.encode_images([photo])) for photo in photos])
    assert np.abs(only(encoder.encode_images(photos * 3))[: len(photos)] - single).max() < 1e-5
    single = np.concatenate([only(encoder.encode_texts([text])) for text in TEXTS])
    assert np.abs(only(encoder.encode_texts(TEXTS)) - single).max() < 1e-5


@pytest.mark.parametrize("kind", HF)
def test_a_query_in_words_has_no_image_tower(made: Path, tmp_path: Path, kind: str) -> None:
    """What is in memory after a query is the text tower, and no more; and the reverse."""
    from safetensors import safe_open

    encoder = opened(f"hf:{hf(made, kind)}", tmp_path)
    with safe_open(str(hf(made, kind) / "model.safetensors"), framework="pt") as file:
        stored = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
    sees = sum(int(np.prod(shape)) for name, shape in stored.items() if name.startswith("vis"))
    reads = sum(int(np.prod(shape)) for name, shape in stored.items() if name.startswith("text"))
    encoder.encode_texts(["a red car"])
    assert "_image" not in vars(encoder)
    network = vars(encoder)["_text"][0]
    assert 0 <= sum(weight.numel() for weight in network.parameters()) - reads <= 2  # and the two of the loss
    encoder.encode_images(reference.photographs()[:1])
    assert 0 <= sum(weight.numel() for weight in vars(encoder)["_image"].parameters()) - sees <= 2


@pytest.mark.parametrize("share", [0, 0.01, 0.6, 0.999])
def test_a_folder_of_transformers_cut_short(made: Path, tmp_path: Path, share: float) -> None:
    shutil.copytree(hf(made, "clip"), tmp_path / "copy")
    cut(tmp_path / "copy/model.safetensors", share)
    fails(opened(f"hf:{tmp_path / 'copy'}", tmp_path))


def test_weights_of_another_model_of_transformers(made: Path, tmp_path: Path) -> None:
    shutil.copytree(hf(made, "clip"), tmp_path / "copy")
    shutil.copyfile(hf(made, "siglip") / "model.safetensors", tmp_path / "copy/model.safetensors")
    fails(opened(f"hf:{tmp_path / 'copy'}", tmp_path))


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"model_type": "bert"}', '{"model_type": "no such"}'])
def test_settings_of_transformers_that_make_no_sense(made: Path, tmp_path: Path, content: str) -> None:
    shutil.copytree(hf(made, "clip"), tmp_path / "copy")
    (tmp_path / "copy/config.json").write_text(content)
    fails(opened(f"hf:{tmp_path / 'copy'}", tmp_path))


@pytest.mark.parametrize("content", ["{", "[1]", '{"size": {"longest_edge": 5}}', None])
def test_settings_of_pictures_that_make_no_sense(made: Path, tmp_path: Path, content: str | None) -> None:
    shutil.copytree(hf(made, "clip"), tmp_path / "copy")
    path = tmp_path / "copy/preprocessor_config.json"
    path.unlink() if content is None else path.write_text(content)
    fails(opened(f"hf:{tmp_path / 'copy'}", tmp_path))


def test_a_pickle_in_a_folder_is_not_looked_at(made: Path, tmp_path: Path) -> None:
    import pickle

    from test_torch_files import Malicious

    shutil.copytree(hf(made, "clip"), tmp_path / "copy")
    (tmp_path / "copy/pytorch_model.bin").write_bytes(pickle.dumps(Malicious(tmp_path / "run")))
    encoder = opened(f"hf:{tmp_path / 'copy'}", tmp_path)
    encoder.encode_texts(["a red car"])
    (tmp_path / "copy/model.safetensors").unlink()
    fails(encoder)
    assert not (tmp_path / "run").exists()


def test_a_state_dict_where_there_are_no_safetensors(made: Path, tmp_path: Path) -> None:
    """As the repositories of AltCLIP, Chinese-CLIP and TimeSformer have it; read as tensors and nothing else."""
    from safetensors.torch import load_file

    whole = hf(made, "altclip")
    shutil.copytree(whole, tmp_path / "copy", ignore=shutil.ignore_patterns("*.safetensors"))
    torch.save(load_file(str(whole / "model.safetensors")), str(tmp_path / "copy/pytorch_model.bin"))
    ours, same_model = opened(f"hf:{tmp_path / 'copy'}", tmp_path), opened(f"hf:{whole}", tmp_path)
    assert np.array_equal(only(ours.encode_texts(TEXTS)), only(same_model.encode_texts(TEXTS)))
    photos = reference.photographs()[:3]
    assert np.array_equal(only(ours.encode_images(photos)), only(same_model.encode_images(photos)))
    cut(tmp_path / "copy/pytorch_model.bin", 0.9)
    fails(opened(f"hf:{tmp_path / 'copy'}", tmp_path))


def test_a_state_dict_that_wants_to_run_something(made: Path, tmp_path: Path) -> None:
    import pickle

    from test_torch_files import Malicious

    shutil.copytree(hf(made, "clip"), tmp_path / "copy", ignore=shutil.ignore_patterns("*.safetensors"))
    (tmp_path / "copy/pytorch_model.bin").write_bytes(pickle.dumps(Malicious(tmp_path / "run")))
    fails(opened(f"hf:{tmp_path / 'copy'}", tmp_path))
    assert not (tmp_path / "run").exists()


# --------------------------------------------------------------------------------------------------------------- timm


@pytest.mark.parametrize("name", ["test_vit", "test_vit2", "test_convnext", "test_resnet", "test_efficientnet"])
def test_equals_timm(tmp_path: Path, name: str) -> None:
    timm = reference.need("timm")
    torch_models.timm_folder(tmp_path / "model", name)
    theirs = timm.create_model(f"local-dir:{tmp_path / 'model'}", pretrained=True, num_classes=0).eval()
    steps = timm.data.create_transform(**timm.data.resolve_model_data_config(theirs), is_training=False)
    ours = opened(f"timm:{tmp_path / 'model'}", tmp_path)
    with torch.no_grad():
        pixels = torch.stack([steps(image) for image in images()])
        same(only(ours.encode_images(reference.photographs())), theirs(pixels))
    photos = reference.photographs()
    single = np.concatenate([only(ours.encode_images([photo])) for photo in photos])
    assert np.abs(only(ours.encode_images(photos)) - single).max() < 1e-5
    assert ours.row.answers == ("image",)
    with pytest.raises(EncoderError, match="answers no words"):
        ours.encode_texts(["a red car"])


@pytest.mark.parametrize("share", [0, 0.6, 0.999])
def test_a_folder_of_timm_cut_short(made: Path, tmp_path: Path, share: float) -> None:
    shutil.copytree(vit(made), tmp_path / "copy")
    cut(tmp_path / "copy/model.safetensors", share)
    fails(opened(f"timm:{tmp_path / 'copy'}", tmp_path))


@pytest.mark.parametrize(
    "change", [{"architecture": "no_such"}, {"architecture": "test_convnext"}, {"pretrained_cfg": 1}]
)
def test_a_folder_of_timm_that_makes_no_sense(made: Path, tmp_path: Path, change: dict[str, Any]) -> None:
    shutil.copytree(vit(made), tmp_path / "copy")
    path = tmp_path / "copy/config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    fails(opened(f"timm:{tmp_path / 'copy'}", tmp_path))


@pytest.mark.parametrize("name", ["timm:", "timm:./nowhere", "hf:", "hf:one-word", "hf:/nowhere/at/all"])
def test_a_folder_that_is_none(name: str) -> None:
    with pytest.raises(UnknownEncoder, match="no such folder"):
        encoders.lookup(name)


def cut(path: Path, share: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


def fails(encoder: Any) -> EncoderError:
    with pytest.raises(EncoderError) as caught:
        encoder.encode_images(reference.photographs()[:1])
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500
    return caught.value
