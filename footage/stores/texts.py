"""Timed texts: what of them can be searched, and BM25 over all of them, exactly.

Every store keeps the same terms beside a text and asks for the same terms of a query, so that all find the same texts.
Words are folded: NFKD, without case and accents; of English the plural, by the S-stemmer of Harman 1991 and -es after
a hiss. Scripts without spaces between words are kept as single characters and pairs of neighbours, and asked for by
pairs.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from math import isfinite
from typing import TYPE_CHECKING
from unicodedata import normalize

import numpy as np

from footage.errors import QueryError
from footage.types import TextHit, TimedText

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from footage.types import Float64

K1, B = 1.2, 0.75  # of BM25: Lance has these and no others
LONGEST_BYTES = 60_000  # of the terms of one text: Milvus keeps 65,535 in a field

_WORD = re.compile(r"[^\W_]+")
_APOSTROPHES = re.compile(r"(?<=\w)['\u2019\u02bc](?=\w)")
_ACCENTS = re.compile("[\u0300-\u036f]+")
_UNSPACED = re.compile("([\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]+)")
_KIND = re.compile(r"[a-z][a-z0-9_-]{0,39}")
_LANGUAGE = re.compile(r"[A-Za-z0-9-]{0,35}")


def terms(text: str) -> list[str]:
    """What a text can be found by, in its order; words come as often as they stand in it."""
    return list(_terms(text, asking=False))


def asked(query: str, k: int) -> list[str]:
    """The terms to look for, each once.

    Raises:
        QueryError: no words in it, or k below 1.
    """
    if k < 1:
        raise QueryError(f"the number of results must be at least 1, not {k}")
    found = list(dict.fromkeys(_terms(query, asking=True)))
    if not found:
        raise QueryError(f"no words to look for in {query[:80]!r}", hint="give at least one word")
    return found


def _terms(text: str, *, asking: bool) -> Iterator[str]:
    folded = normalize("NFC", _ACCENTS.sub("", normalize("NFKD", text).casefold()))
    for word in _WORD.findall(_APOSTROPHES.sub("", folded)):
        for i, part in enumerate(_UNSPACED.split(word)):
            if i % 2 == 0:
                yield from [_singular(part)] if part else []
                continue
            if not asking or len(part) == 1:
                yield from part
            yield from (part[n : n + 2] for n in range(len(part) - 1))


def _singular(word: str) -> str:
    if len(word) < 4 or not word.endswith("s") or word.endswith(("us", "ss")):
        return word
    if word.endswith("ies"):
        return word if word.endswith(("eies", "aies")) else word[:-3] + "y"
    if word.endswith(("ches", "shes", "sses", "xes", "zzes")):
        return word[:-2]
    if word.endswith("es"):
        return word if word.endswith(("aes", "ees", "oes")) else word[:-1]
    return word[:-1]


def grouped(texts: Sequence[TimedText], of: Collection[tuple[str, str]] = ()) -> dict[tuple[str, str], list[TimedText]]:
    """Texts by video and kind, in the order of time; with no texts for the pairs of `of` that have none.

    Raises:
        QueryError: a text that no store would keep.
    """
    found: dict[tuple[str, str], list[TimedText]] = {pair: [] for pair in of}
    for text in texts:
        _check(text)
        found.setdefault((text.video_id, text.kind), []).append(text)
    return {pair: sorted(each, key=by_time) for pair, each in found.items()}


def _check(text: TimedText) -> None:
    where = f"a text of video {text.video_id} at {text.start:g} s"
    if not _KIND.fullmatch(text.kind):
        raise QueryError(f"{where} is of the kind {text.kind!r}", hint="speech, subtitle, ocr, caption, or such a word")
    if not _LANGUAGE.fullmatch(text.language):
        raise QueryError(f"{where} has the language {text.language!r}", hint="a tag of BCP 47, as en or zh-Hant")
    if not (isfinite(text.start) and isfinite(text.end) and 0 <= text.start <= text.end):
        raise QueryError(f"{where} ends at {text.end:g} s", hint="0 <= start <= end, in seconds")
    if not text.text.strip():
        raise QueryError(f"{where} is empty", hint="leave it out")
    try:
        size = max(len(text.text.encode()), len(" ".join(terms(text.text)).encode()))
    except UnicodeEncodeError as error:
        raise QueryError(f"{where} is no valid text: {error.reason}", hint="remove what is half a character") from error
    if size > LONGEST_BYTES:
        raise QueryError(f"{where} has {len(text.text):,} characters", hint="split it, each part with its own time")


def by_time(text: TimedText) -> tuple[float, float, str, str, str]:
    """Order the texts of one video."""
    return (text.start, text.end, text.kind, text.text, text.language)


def best_first(hits: Sequence[TextHit], k: int) -> list[TextHit]:
    """The k best; equal scores in the order of video id and time, whatever the store returned."""
    return sorted(hits, key=lambda hit: (-hit.score, hit.text.video_id, by_time(hit.text)))[:k]


class Corpus:
    """BM25 (Robertson and Zaragoza 2009) over texts in memory, exactly."""

    def __init__(self, texts: Sequence[TimedText]) -> None:
        self._texts = texts
        counted = [Counter(terms(text.text)) for text in texts]
        length = np.array([sum(each.values()) for each in counted], np.float64)
        self._norm: Float64 = K1 * (1 - B + B * length / max(float(length.mean()) if len(texts) else 0.0, 1e-9))
        postings: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
        for row, each in enumerate(counted):
            for term, n in each.items():
                postings[term].append((row, n))
        self._postings: Mapping[str, NDArray[np.int64]] = {t: np.array(p, np.int64) for t, p in postings.items()}

    def search(
        self, query: Sequence[str], k: int, videos: Collection[str] | None, kinds: Collection[str] | None
    ) -> list[TextHit]:
        """The k best texts with one of the terms, of these videos and kinds."""
        scores = np.zeros(len(self._texts))
        for posting in (self._postings[term] for term in query if term in self._postings):
            row, n = posting.T
            rare = np.log1p((len(self._texts) - len(row) + 0.5) / (len(row) + 0.5))
            scores[row] += rare * n * (K1 + 1) / (n + self._norm[row])
        hits = [TextHit(self._texts[row], float(scores[row])) for row in np.flatnonzero(scores).tolist()]
        return best_first([hit for hit in hits if _passes(hit.text, videos, kinds)], k)


def _passes(text: TimedText, videos: Collection[str] | None, kinds: Collection[str] | None) -> bool:
    return (videos is None or text.video_id in videos) and (kinds is None or text.kind in kinds)
