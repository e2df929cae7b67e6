"""The class index: what each of the 1000 classes means in words, built once from the packaged class texts.

Zero-shot by ConSE (Norouzi et al. 2013): a picture is the mean of the word vectors of its classes, weighted by their
probabilities. Beside it stands a vote: BM25 (Robertson & Walker 1994) of the query over the classes' texts.
"""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from footage.encoders.starter.words import (
    WordVectors,
    chinese_terms,
    english_terms,
    joined,
    normalise,
    read_class_texts,
    unit,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from footage.types import Float32

VERSION = 1  # part of the cached file's name and of the fingerprint: raise it when the numbers change
CLASS_TEXTS = Path(__file__).parents[1] / "data" / "class_texts.jsonl"

_K1, _B = 1.2, 0.75
_TOP = 100  # classes that speak for a picture


@dataclass(frozen=True)
class Index:
    """Arrays made from the class texts. The vote is sparse: term t has `classes[starts[t]:starts[t + 1]]`."""

    vectors: NDArray[np.float32]  # (1000, 256) mean caption vector of each class, unit length
    mean_text: NDArray[np.float32]  # (256,) mean of all caption vectors, unit length each
    terms: NDArray[np.str_]  # () all terms, joined with line breaks
    starts: NDArray[np.int32]  # (terms + 1,)
    classes: NDArray[np.int16]  # (postings,)
    weights: NDArray[np.float32]  # (postings,) BM25 weight of the term for the class

    @cached_property
    def vocabulary(self) -> dict[str, int]:
        """Number of each term."""
        return {term: i for i, term in enumerate(str(self.terms).split("\n"))}

    def vote(self, text: str) -> Float32:
        """Sum the BM25 weights of a normalised text's terms over the classes: float32 (1000,)."""
        terms = dict.fromkeys(english_terms(text), 1.0) | chinese_terms(text)
        out = np.zeros(len(self.vectors), np.float32)
        for term, weight in terms.items():
            number = self.vocabulary.get(term)
            if number is not None:
                postings = slice(self.starts[number], self.starts[number + 1])
                out[self.classes[postings]] += weight * self.weights[postings]
        return out

    def speak(self, classes: Float32) -> tuple[Float32, Float32]:
        """Turn class weights (n, 1000) into word vectors (n, 256) and sharpened class weights (n, 1000), centred."""
        floor = np.partition(classes, -_TOP, axis=1)[:, -_TOP, None]
        kept = np.where(classes >= floor, classes, 0)
        kept /= kept.sum(axis=1, keepdims=True)
        words = unit(kept @ self.vectors - self.vectors.mean(axis=0))
        return words, unit(classes - classes.mean(axis=1, keepdims=True))

    def dump(self) -> bytes:
        """Serialise as npz."""
        stream = io.BytesIO()
        np.savez(stream, **{f.name: getattr(self, f.name) for f in fields(self)})
        return stream.getvalue()

    @classmethod
    def parse(cls, payload: bytes) -> Index:
        """Read what `dump` wrote; runs nothing that is in it."""
        with np.load(io.BytesIO(payload), allow_pickle=False) as arrays:
            return cls(**{f.name: arrays[f.name] for f in fields(cls)})


def build() -> Index:
    """Build the index from the packaged class texts and the word vectors."""
    rows = read_class_texts(CLASS_TEXTS)
    captions = [[normalise(text) for text in cast("list[str]", row["en"])] for row in rows]
    embedder = WordVectors()
    vectors = np.stack([unit(embedder.embed(texts)).mean(axis=0) for texts in captions])
    documents = [
        english_terms(f"{normalise(str(row['name']))} {' '.join(texts)}")
        + [
            term
            for text in cast("list[str]", row["zh"]) + cast("list[str]", row["zh_names"])
            for term in chinese_terms(normalise(text))
        ]
        for row, texts in zip(rows, captions, strict=True)
    ]
    terms, starts, classes, weights = _bm25(documents)
    return Index(
        vectors=unit(vectors),
        mean_text=vectors.mean(axis=0).astype(np.float32),
        terms=np.array(joined(terms)),
        starts=starts,
        classes=classes,
        weights=weights,
    )


def _bm25(
    documents: Sequence[Sequence[str]],
) -> tuple[list[str], NDArray[np.int32], NDArray[np.int16], NDArray[np.float32]]:
    lengths = np.array([len(d) for d in documents], np.float64)
    norm = _K1 * (1 - _B + _B * lengths / lengths.mean())
    postings: dict[str, list[tuple[int, int]]] = {}
    for number, document in enumerate(documents):
        for term, count in Counter(document).items():
            postings.setdefault(term, []).append((number, count))
    starts, classes, weights = [0], list[int](), list[float]()
    for found in postings.values():
        idf = np.log1p((len(documents) - len(found) + 0.5) / (len(found) + 0.5))
        classes += [number for number, _ in found]
        weights += [idf * count * (_K1 + 1) / (count + norm[number]) for number, count in found]
        starts.append(len(classes))
    return list(postings), np.array(starts, np.int32), np.array(classes, np.int16), np.array(weights, np.float32)
