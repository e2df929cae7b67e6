"""Words to the numbers that a text tower reads, by the `tokenizers` library.

What differs between models, and is easily got wrong without any error, is beside the vocabulary: how the text is
cleaned, how long the row of tokens is, which token fills it up, and what becomes of a text that is too long.
"""

from __future__ import annotations

import gzip
import html
import re
import string
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

import numpy as np

from footage.errors import EncoderError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    Int64 = NDArray[np.int64]

Clean: TypeAlias = Literal["none", "whitespace", "lower", "canonicalize", "lowercase"]

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_QUOTES = str.maketrans({**dict.fromkeys("‘’‚‛", "'"), **dict.fromkeys("“”„‟", '"')})
_LIGATURES = str.maketrans({c: unicodedata.normalize("NFKC", c) for c in "ĲĳŉǱǲǳǄǅǆǇǈǉǊǋǌﬀﬁﬂﬃﬄﬅﬆ"})
_WIDE = str.maketrans(
    {chr(c): unicodedata.normalize("NFKC", chr(c)) for c in [0x3000, *range(0xFF01, 0xFFF0)] if chr(c).isprintable()}
    | {"\u3000": " "}
)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f\u206a-\u206f\ufeff\ufff9-\ufffc]")
_CLIP_MERGES = 49152 - 256 - 2 + 1  # lines that count in OpenAI's file: the vocabulary without bytes and specials
_CLIP_WORD = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


@dataclass(frozen=True, slots=True)
class TokenRules:
    """What is to be known beside the vocabulary."""

    length: int = 77  # tokens in a row
    pad: str | int = 0  # the token that fills a row, or its number
    clean: Clean = "none"
    """What is done before the tokeniser sees the text: whitespace, lower and canonicalize as in open_clip (the last
    drops ASCII punctuation too); lowercase as transformers does for SigLIP 2."""
    prefix: str = ""  # put before every text, after cleaning
    drop_separator: str = ""  # this token is replaced by number 0 (open_clip's strip_sep_token)
    pad_left: bool = False
    plain_marks: bool = False  # words that look like a special token are words; no tokenizer.json can say so

    def __post_init__(self) -> None:
        if not 2 <= self.length <= 8192:
            raise EncoderError(f"a text of {self.length} tokens makes no sense", hint="2 to 8192")


@dataclass(frozen=True, slots=True, eq=False)
class Tokens:
    """Rows of equal length."""

    ids: Int64  # (n, length)
    mask: Int64  # (n, length): 1 where a token of the text stands, 0 where it was filled up


class Tokeniser:
    """A vocabulary and its rules: texts in, rows of numbers out; a text that is too long loses its end."""

    def __init__(self, tokenizer: Any, rules: TokenRules) -> None:
        self.rules = rules
        pad = rules.pad
        number = pad if isinstance(pad, int) else tokenizer.token_to_id(pad)
        word = pad if isinstance(pad, str) else tokenizer.id_to_token(pad)
        if number is None or word is None:
            raise EncoderError(f"the tokeniser has no token {pad!r} to fill up with")
        if rules.plain_marks:
            tokenizer.encode_special_tokens = True
        side = "left" if rules.pad_left else "right"
        tokenizer.enable_truncation(max_length=rules.length)
        tokenizer.enable_padding(length=rules.length, pad_id=number, pad_token=word, direction=side)
        self._separator = tokenizer.token_to_id(rules.drop_separator) if rules.drop_separator else None
        self._tokenizer = tokenizer

    @classmethod
    def read(cls, path: Path, rules: TokenRules) -> Tokeniser:
        """Read a `tokenizer.json`.

        Raises:
            EncoderError: the file cannot be read, or is none.
        """
        from tokenizers import Tokenizer

        try:
            content = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise EncoderError(f"cannot read the tokeniser: {path}: {getattr(error, 'strerror', error)}") from None
        try:
            tokenizer = Tokenizer.from_str(content)
        except Exception as error:  # noqa: BLE001  the library raises nothing narrower
            raise EncoderError(f"not a tokeniser: {path}: {_one_line(error)}") from None
        return cls(tokenizer, rules)

    @classmethod
    def read_clip_bpe(cls, path: Path, length: int = 77) -> Tokeniser:
        """Read OpenAI CLIP's `bpe_simple_vocab_16e6.txt.gz`, or its text, and tokenise as OpenAI's code does.

        Raises:
            EncoderError: the file cannot be read, or is none.
        """
        return cls(clip_bpe(_merges(path)), TokenRules(length=length, pad=0, clean="lower", plain_marks=True))

    def save(self, path: Path) -> None:
        """Write the vocabulary as a `tokenizer.json`, for `read` with the same rules."""
        path.write_text(self._tokenizer.to_str(), encoding="utf-8")

    def __call__(self, texts: Sequence[str]) -> Tokens:
        """Tokenise texts; an empty text is its start and end tokens."""
        rows = self._tokenizer.encode_batch([self.rules.prefix + clean(text, self.rules.clean) for text in texts])
        shape = (len(rows), self.rules.length)
        ids = np.array([row.ids for row in rows], np.int64).reshape(shape)
        mask = np.array([row.attention_mask for row in rows], np.int64).reshape(shape)
        if self._separator is not None:
            ids[ids == self._separator] = 0
        return Tokens(ids, mask)


def clean(text: str, how: Clean) -> str:
    """Clean a text as the reference does; curly quotes, wide letters and HTML marks are made plain, unless `none`."""
    text = text.encode("utf-8", "replace").decode("utf-8")  # half of an emoji, as broken programs hand it over
    if how == "none":
        return text
    if how == "lowercase":
        return text.lower()
    text = html.unescape(html.unescape(_tidy(text))).strip()
    if how == "canonicalize":
        text = text.replace("_", " ").translate(_PUNCTUATION)
    text = " ".join(text.split())
    return text.lower() if how in ("lower", "canonicalize") else text


def _tidy(text: str) -> str:
    """What ftfy, which open_clip calls first, does to text that is not broken: its mending of mojibake is left out."""
    text = html.unescape(text) if "<" not in text else text
    text = text.translate(_LIGATURES).translate(_WIDE).translate(_QUOTES)
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\u2028", "\n").replace("\u2029", "\n")
    text = _CONTROL.sub("", text.replace("\x85", "\n"))
    return unicodedata.normalize("NFC", text)


def from_open_clip(text: Mapping[str, Any], tokenizer: Mapping[str, Any]) -> TokenRules:
    """Rules of open_clip's `text_cfg`, with the `tokenizer_config.json` beside the vocabulary."""
    extra = cast("Mapping[str, Any]", text.get("tokenizer_kwargs") or {})
    separator = _token(tokenizer.get("sep_token")) if extra.get("strip_sep_token") else ""
    return TokenRules(
        length=int(text.get("context_length") or 77),
        pad=_token(tokenizer.get("pad_token")) or 0,
        clean=cast("Clean", extra.get("clean") or "whitespace"),
        drop_separator=separator,
    )


def from_transformers(config: Mapping[str, Any], tokenizer: Mapping[str, Any]) -> TokenRules:
    """Rules of a folder of transformers: its `config.json` and `tokenizer_config.json`."""
    kind = str(config.get("model_type") or "")
    text = cast("Mapping[str, Any]", config.get("text_config") or {})
    longest = int(text.get("max_position_embeddings") or (64 if kind.startswith("siglip") else 77))
    if "xlm-roberta" in str(text.get("model_type") or kind):
        longest -= 2  # its positions begin after the number of the padding token
    given = tokenizer.get("model_max_length")
    if isinstance(given, (int, float)) and 2 <= given < longest:
        longest = int(given)
    siglip2 = kind == "siglip2" or "Siglip2" in str(tokenizer.get("tokenizer_class") or "")
    return TokenRules(
        length=longest,
        pad=_token(tokenizer.get("pad_token")) or 0,
        clean="lowercase" if siglip2 else "none",
        pad_left=tokenizer.get("padding_side") == "left",
    )


def clip_bpe(merges: Sequence[tuple[str, str]]) -> Any:
    """Build OpenAI CLIP's byte-level BPE of its merges: the same numbers as `SimpleTokenizer`."""
    from tokenizers import AddedToken, Regex, Tokenizer, models, pre_tokenizers, processors

    alphabet = _byte_letters()
    words = [*alphabet, *(f"{letter}</w>" for letter in alphabet), *("".join(pair) for pair in merges)]
    start, end = "<|startoftext|>", "<|endoftext|>"
    vocabulary = {word: number for number, word in enumerate([*words, start, end])}
    bpe = models.BPE(
        vocab=vocabulary, merges=list(merges), continuing_subword_prefix="", end_of_word_suffix="</w>", unk_token=end
    )
    tokenizer: Any = Tokenizer(bpe)
    split = pre_tokenizers.Split(Regex(_CLIP_WORD), behavior="removed", invert=True)
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, to_bytes])
    tokenizer.add_special_tokens([AddedToken(word, normalized=False) for word in (start, end)])
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {end}", special_tokens=[(start, vocabulary[start]), (end, vocabulary[end])]
    )
    return tokenizer


def _byte_letters() -> list[str]:
    """A printable letter for each byte, in the order of OpenAI's vocabulary."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    rest = [byte for byte in range(256) if byte not in plain]
    return [*(chr(byte) for byte in plain), *(chr(256 + number) for number in range(len(rest)))]


def _merges(path: Path) -> list[tuple[str, str]]:
    try:
        content = path.read_bytes()
        text = (gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content).decode("utf-8")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise EncoderError(f"cannot read the vocabulary: {path}: {_one_line(error)}") from None
    lines = text.split("\n")[1:_CLIP_MERGES]  # the first line says who made it
    pairs = [tuple(line.split()) for line in lines if line]
    if not pairs or any(len(pair) != 2 for pair in pairs):
        raise EncoderError(f"not a vocabulary of CLIP: {path}")
    return cast("list[tuple[str, str]]", pairs)


def _token(value: Any) -> str:
    """A special token as a word: configurations give it plain, or with its properties."""
    if isinstance(value, dict):
        return str(cast("dict[str, Any]", value).get("content") or "")
    return value if isinstance(value, str) else ""


def _one_line(error: object) -> str:
    return " ".join(str(error).split())[:200]
