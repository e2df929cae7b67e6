"""Words: static word vectors for English, and the terms that the class texts are searched by."""

from __future__ import annotations

import json
import re
import unicodedata
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from footage.encoders.starter.weights import find, read_verified
from footage.errors import EncoderError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from footage.types import Float32

PACKAGE = "wordllama"
VECTORS = "weights/l2_supercat_256.safetensors"
TOKENIZER = "tokenizers/l2_supercat_tokenizer_config.json"
DIM = 256
_SHA256 = {
    VECTORS: "64b47a2dc493cb8e85944076601189739852d7b64e0e1eedcb1937a251cd9fd5",
    TOKENIZER: "93248f2a9ec36c7b35f700a033d5f36228aae48db61aee31007fa49062cdeb68",
}

# Words that say nothing of a picture: articles, pronouns, auxiliaries, and the words of asking for one.
_STOP = (
    "a an and are as at be been being by for from had has have he her here him his how i in into is it its itself me "
    "my no not of on one or our out over please she show so some such than that the their them then there these they "
    "this those to too under up us was we were what when where which while who whom why will with would you your "
    "find photo picture image video clip shot scene footage"
)
STOP_WORDS = frozenset(_STOP.split())

_VOWELS = frozenset("aeiouy")
_LATIN = re.compile(r"[a-z0-9]+")
_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+")
# Characters of grammar: a pair with one of them is no word but a seam between words, and matches everywhere.
_HAN_SEAMS = frozenset("的了着在是一个和与及或把被将给到从为以于其这那些们得之正呢吗啊")
# These say nothing alone, but much in a pair: subway, coat, seed.
_HAN_STOP = _HAN_SEAMS | frozenset("上下里中有对向种只条张位名地")

# Traditional characters, each before its simplified form: those of the class texts, which are written in simplified.
_PAIRS = (
    "貓猫鳥鸟魚鱼馬马龍龙龜龟雞鸡鴨鸭鵝鹅豬猪羅罗蝦虾蟲虫獅狮驢驴騎骑車车輪轮飛飞機机艦舰輛辆電电視视話话腦脑鍵键盤盘鏡镜鐘钟錶表燈灯鎖锁針针鐵铁鋼钢銀银鋸锯釘钉錘锤鏟铲鍋锅鈴铃樂乐彈弹號号園园圖图書书館馆"
    "門门橋桥樓楼廟庙宮宫場场廠厂島岛灘滩灣湾樹树葉叶蘋苹蘿萝蔔卜麥麦麵面飯饭餅饼飲饮湯汤雲云風风陽阳爺爷媽妈兒儿個个們们嬰婴隻只條条張张雙双紅红綠绿藍蓝黃黄裡里裏里後后開开關关過过進进遠远運运動动員员賽赛"
    "遊游戲戏頭头臉脸髮发褲裤襪袜衛卫護护醫医藥药師师廚厨農农軍军槍枪砲炮戰战國国圍围牆墙籬篱籃篮網网桿杆潛潜衝冲擊击釣钓獵猎傘伞櫃柜檯台燒烧煙烟爐炉壺壶絲丝線线織织縫缝紙纸筆笔畫画寫写讀读聽听說说講讲讓让"
    "給给從从來来兩两對对發发觀观買买賣卖貨货錢钱幣币貝贝鯨鲸鯊鲨鱷鳄鱉鳖鷹鹰鶴鹤鸚鹦鵡鹉鴕鸵鳳凤蠍蝎蝸蜗蟬蝉螞蚂蟻蚁蠅蝇繩绳鏈链頸颈頂顶項项領领帶带襯衬婦妇"
)
_SIMPLIFY = str.maketrans(dict(zip(_PAIRS[::2], _PAIRS[1::2], strict=True)))


def normalise(text: str) -> str:
    """Fold full-width forms and ligatures (Unicode NFKC), case, and the commonest traditional Chinese characters."""
    return unicodedata.normalize("NFKC", text).casefold().translate(_SIMPLIFY)


def latin(text: str) -> str:
    """Return a normalised text without its Chinese characters; '' where too little is left to be a word.

    One letter beside Chinese is part of a Chinese word, as in T-shirt.
    """
    rest = _HAN.sub(" ", text).strip()
    return rest if any(len(word) > 1 or rest == text.strip() for word in _LATIN.findall(rest)) else ""


def stem(word: str) -> str:
    """Cut plural, -ing, -ed and a last e: "tortoises" meets "tortoise", and "racing" meets "race".

    Weaker than Porter's stemmer on purpose: cutting -er and the like makes one of tower and tow, corner and corn.
    """
    word = _singular(word)
    for ending in ("ing", "ed"):
        rest = word.removesuffix(ending)
        if rest != word and len(rest) >= 3 and _VOWELS & set(rest):
            double = len(rest) > 3 and rest[-1] == rest[-2] and rest[-1] not in "lsz"
            word = rest[:-1] if double else rest
            break
    return word[:-1] if len(word) > 3 and word.endswith("e") else word


def _singular(word: str) -> str:
    """Cut the English plural (Harman 1991, the "S" stemmer)."""
    if len(word) > 4 and word.endswith("ies") and word[-4] not in "ae":
        return f"{word[:-3]}y"
    if len(word) > 3 and word.endswith("es") and word[-3] in "sxz":
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and word[-2] not in "us":
        return word[:-1]
    return word


def english_terms(text: str) -> list[str]:
    """Split a normalised text into the stems of its English words, without stop words."""
    return [stem(word) for word in _LATIN.findall(text) if word not in STOP_WORDS]


def chinese_terms(text: str) -> dict[str, float]:
    """Weigh the characters (1) and character pairs (2) of the Chinese runs of a normalised text."""
    out: dict[str, float] = {}
    for run in _HAN.findall(text):
        out |= dict.fromkeys((char for char in run if char not in _HAN_STOP), 1.0)
        out |= {pair: 2.0 for pair in map("".join, pairwise(run)) if not _HAN_SEAMS & set(pair)}
    return out


class WordVectors:
    """The 256-d static embeddings inside the package `wordllama` (Matryoshka-trained token vectors, mean-pooled).

    Read directly: the package's own loader imports an HTTP client and may reach for the network. `verify` checks the
    digests of both files, which takes longer than reading them: done when the index is built, not at every query.

    Raises:
        EncoderUnavailable: the package is not installed.
        EncoderError: its files are not the known ones.
    """

    def __init__(self, *, verify: bool = False) -> None:
        from safetensors import safe_open
        from tokenizers import Tokenizer

        vectors, tokenizer = find(PACKAGE, VECTORS), find(PACKAGE, TOKENIZER)
        if verify:
            read_verified(vectors, _SHA256[VECTORS])
            read_verified(tokenizer, _SHA256[TOKENIZER])
        try:
            opened: Any = safe_open(vectors, framework="numpy")
            with opened as file:
                self._table = cast("NDArray[np.float16]", file.get_tensor("embedding.weight"))  # (32000, 256)
            self._tokenizer = Tokenizer.from_file(str(tokenizer))
        except Exception as error:  # tokenizers raises bare Exception
            raise EncoderError(f"cannot read the word vectors: {error}", hint=f"reinstall {PACKAGE}") from error

    def embed(self, texts: Sequence[str]) -> Float32:
        """Average the token vectors of each text: float32 (n, 256), not normalised; zeros for an empty text."""
        out = np.zeros((len(texts), DIM), np.float32)
        encodings = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        for row, encoding in zip(out, encodings, strict=True):
            if encoding.ids:
                row[:] = self._table[encoding.ids].astype(np.float32).mean(axis=0)
        return out


def read_class_texts(path: Path) -> list[dict[str, object]]:
    """Read the texts of the 1000 classes, one JSON object a line, in the order of the classifier."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def unit(rows: NDArray[np.float32]) -> Float32:
    """Scale the rows of (n, d) to length 1; a row of zeros stays one."""
    length = np.linalg.norm(rows, axis=-1, keepdims=True)
    return (rows / np.maximum(length, 1e-12)).astype(np.float32)


def joined(texts: Iterable[str]) -> str:
    """Join words with line breaks: the form in which the index stores its vocabulary."""
    return "\n".join(texts)
