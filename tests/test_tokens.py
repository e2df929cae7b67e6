"""Tokens: equal to open_clip's and transformers' on many kinds of text, and rules read from their settings."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import onnx_models
import pytest
import reference

from footage.encoders.tokens import Clean, Tokeniser, TokenRules, clean, from_open_clip, from_transformers
from footage.errors import EncoderError

TEXTS = [
    "a red car", "", "   ", "  A  Photo of\tDogs!! it's don’t “quoted”", "一只猫坐在沙发上，看着窗外。（夜）",
    "日本語テスト ｶﾅ",
    "😀🏽‍🚀 party 🎉", "word " * 200, "x" * 500, "Ünïcödé naïve café ﬁne ½ １２３", "&amp; &lt;b&gt;", "привет мир",
    "3.14159 100% C++ <|endoftext|> hi", "\u200bzero\u00adwidth\ufeff", "a\u0301", "don't we'll I'm they've", "…—–•",
    "한국어", "snake_case_word", "İstanbul", "ΑΣ", "line\r\nbreak\x0b\x07", "<pad> <eos> ▁under", "猫" * 90,
]  # fmt: skip


def save(tokenizer: Any, folder: Path, **settings: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    onnx_models.write(folder / "tokenizer_config.json", settings)
    return folder


def test_equals_open_clip_with_the_real_vocabulary() -> None:
    reference_ = reference.need("open_clip.tokenizer")
    theirs = reference_.SimpleTokenizer()
    ours = Tokeniser.read_clip_bpe(Path(reference_.default_bpe()))
    for text in TEXTS:
        assert np.array_equal(ours([text]).ids, theirs([text]).numpy()), text
    ours = Tokeniser.read_clip_bpe(Path(reference_.default_bpe()), length=32)
    assert np.array_equal(ours(TEXTS).ids, theirs(TEXTS, context_length=32).numpy())


@pytest.mark.parametrize("how", ["lower", "whitespace", "canonicalize"])
def test_cleans_as_open_clip_does(how: Clean) -> None:
    theirs = reference.need("open_clip.tokenizer").get_clean_fn(how)
    for text in TEXTS:
        assert clean(text, how) == theirs(text), text


@pytest.mark.parametrize("how", ["whitespace", "canonicalize"])
def test_equals_open_clip_on_a_vocabulary_like_gemmas(tmp_path: Path, how: Clean) -> None:
    theirs = reference.need("open_clip.tokenizer")
    reference.need("transformers")
    folder = save(
        onnx_models.gemma_like(), tmp_path / "g", tokenizer_class="PreTrainedTokenizerFast", pad_token="<pad>",
        eos_token="<eos>", unk_token="<unk>", padding_side="right",
    )  # fmt: skip
    wanted = theirs.HFTokenizer(str(folder), context_length=24, clean=how)(TEXTS).numpy()
    rules = from_open_clip({"context_length": 24, "tokenizer_kwargs": {"clean": how}}, {"pad_token": "<pad>"})
    assert np.array_equal(Tokeniser.read(folder / "tokenizer.json", rules)(TEXTS).ids, wanted)


@pytest.mark.parametrize("side", ["left", "right"])
def test_equals_transformers(tmp_path: Path, side: str) -> None:
    transformers = reference.need("transformers")
    folder = save(
        onnx_models.clip_like(), tmp_path / "c", tokenizer_class="PreTrainedTokenizerFast", padding_side=side,
        pad_token="<|endoftext|>", bos_token="<|startoftext|>", eos_token="<|endoftext|>", model_max_length=20,
    )  # fmt: skip
    theirs = transformers.AutoTokenizer.from_pretrained(str(folder))
    wanted = theirs(TEXTS, padding="max_length", truncation=True, max_length=20, return_tensors="np")
    import json

    rules = from_transformers({"model_type": "clip"}, json.loads((folder / "tokenizer_config.json").read_text()))
    ours = Tokeniser.read(folder / "tokenizer.json", rules)(TEXTS)
    assert rules.length == 20
    assert np.array_equal(ours.ids, wanted["input_ids"])
    assert np.array_equal(ours.mask, wanted["attention_mask"])


def test_lowers_as_transformers_does_for_siglip_2(tmp_path: Path) -> None:
    transformers = reference.need("transformers")
    settings = {
        "tokenizer_class": "Siglip2Tokenizer",
        "pad_token": "<pad>",
        "eos_token": "<eos>",
        "padding_side": "right",
    }
    folder = save(onnx_models.gemma_like(), tmp_path / "s", **settings)
    theirs = transformers.Siglip2Tokenizer.from_pretrained(str(folder))
    rules = from_transformers({"model_type": "siglip"}, settings)
    assert (rules.length, rules.clean) == (64, "lowercase")
    ours = Tokeniser.read(folder / "tokenizer.json", rules)
    for text in ("A Red CAR", "Ein ROTES Auto", "一只猫 CAT"):
        wanted = theirs([text], padding="max_length", truncation=True, max_length=64, return_tensors="np")
        assert np.array_equal(ours([text]).ids, wanted["input_ids"]), text


def test_rows_have_one_length_whatever_the_text(tmp_path: Path) -> None:
    folder = save(onnx_models.gemma_like(), tmp_path)
    ours = Tokeniser.read(folder / "tokenizer.json", TokenRules(12, "<pad>"))
    found = ours(["a red car", "", "word " * 99])
    assert found.ids.shape == found.mask.shape == (3, 12)
    assert found.ids[1].tolist() == [1] + [0] * 11  # the end, then filling
    assert found.mask[1].tolist() == [1] + [0] * 11
    assert found.mask[2].all()
    assert found.ids[2, -1] == 1  # a text that is too long still ends as others do
    assert ours([]).ids.shape == (0, 12)


def test_the_byte_vocabulary_of_clip_by_hand(tmp_path: Path) -> None:
    """Of two merges: c+a, then ca+t at the end of a word."""
    file = tmp_path / "bpe.txt.gz"
    file.write_bytes(gzip.compress(b'"bpe_simple_vocab" version\nc a\nca t</w>\n'))
    ours = Tokeniser.read_clip_bpe(file, length=8)
    start, end = 512 + 2, 512 + 3
    letter = {c: ord(c) - ord("!") for c in "cats"}
    assert ours(["CAT"]).ids[0].tolist() == [start, 513, end, 0, 0, 0, 0, 0]
    assert ours(["cats"]).ids[0].tolist() == [start, 512, letter["t"], letter["s"] + 256, end, 0, 0, 0]


def test_special_words_of_a_user_are_words(tmp_path: Path) -> None:
    file = tmp_path / "bpe.txt"
    file.write_text('"bpe_simple_vocab" version\nc a\nca t</w>\n')
    row = Tokeniser.read_clip_bpe(file, length=32)(["<|endoftext|> cat"]).ids[0]
    assert (row == 515).sum() == 1
    assert row.tolist().index(515) > 5


def test_a_separator_is_dropped_where_the_model_wants_it(tmp_path: Path) -> None:
    folder = save(onnx_models.gemma_like(), tmp_path)
    values = {"context_length": 8, "tokenizer_kwargs": {"strip_sep_token": True}}
    rules = from_open_clip(values, {"pad_token": {"content": "<pad>"}, "sep_token": "<eos>"})
    assert (Tokeniser.read(folder / "tokenizer.json", rules)(["a"]).ids != 1).all()


def test_half_an_emoji_is_no_error(tmp_path: Path) -> None:
    folder = save(onnx_models.gemma_like(), tmp_path)
    assert Tokeniser.read(folder / "tokenizer.json", TokenRules(8, "<pad>"))(["a \ud83d b"]).ids.shape == (1, 8)


@pytest.mark.parametrize("content", [b"", b"{}", b'{"version"', b"\xff\xfe", b"[1]"])
def test_a_file_that_is_no_tokeniser(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(EncoderError, match="tokeniser") as caught:
        Tokeniser.read(tmp_path / "tokenizer.json", TokenRules())
    assert "\n" not in str(caught.value)


def test_a_vocabulary_that_is_none(tmp_path: Path) -> None:
    for content in (b"", b"\x1f\x8b\x08 not gzip", b"first\nthree words here\n", b"\xff\xff"):
        (tmp_path / "bpe").write_bytes(content)
        with pytest.raises(EncoderError, match="vocabulary"):
            Tokeniser.read_clip_bpe(tmp_path / "bpe")
    with pytest.raises(EncoderError, match="cannot read"):
        Tokeniser.read_clip_bpe(tmp_path / "gone")
    with pytest.raises(EncoderError, match="cannot read"):
        Tokeniser.read(tmp_path / "gone", TokenRules())


def test_rules_that_make_no_sense(tmp_path: Path) -> None:
    folder = save(onnx_models.gemma_like(), tmp_path)
    with pytest.raises(EncoderError, match="<blank>"):
        Tokeniser.read(folder / "tokenizer.json", TokenRules(8, "<blank>"))
    with pytest.raises(EncoderError, match="99999"):
        Tokeniser.read(folder / "tokenizer.json", TokenRules(8, 99999))
    with pytest.raises(EncoderError, match="tokens"):
        TokenRules(1)
