"""The class index: what each of the 1000 classes means in words, built once from the packaged class texts.

Zero-shot by ConSE (Norouzi et al. 2013): a picture is the mean of the word vectors of its classes, weighted by their
probabilities. Beside it stands a vote: BM25 (Robertson & Walker 1994) of the query over the texts of the classes, met
by the picture's own class weights. Both lie in one vector, so that one cosine search answers with their mean.
`docs/quality.md` has what each step gave.
"""

from __future__ import annotations

import hashlib
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

    Postings = tuple[list[str], NDArray[np.int32], NDArray[np.int16], NDArray[np.float32]]

VERSION = 4  # part of the cached file's name and of the fingerprint: raise it when the numbers change
CLASS_TEXTS = Path(__file__).parents[1] / "data" / "class_texts.jsonl"
PROJECTION = Path(__file__).parents[1] / "data" / "class_projection.npy"

_K1, _B = 2.0, 0.75  # of BM25
_SHARPEN = 2  # power of the votes: the classes that most of the words agree on decide


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

    @cached_property
    def projection(self) -> NDArray[np.float32]:
        """Orthonormal columns, float32 (1000, 384), that keep what the class texts tell apart.

        The leading left singular vectors of the class-term matrix (latent semantic indexing, Deerwester et al. 1990).
        They are packaged and not computed: two machines would disagree on their signs, and a library travels.
        """
        columns = np.load(PROJECTION, allow_pickle=False).astype(np.float32)
        return columns / np.linalg.norm(columns, axis=0)

    def words(self, vectors: Float32) -> Float32:
        """Centre the word vectors of texts, (n, 256); rows of zeros stay so."""
        return unit(unit(vectors) - self.mean_text) * np.any(vectors, axis=1, keepdims=True)

    def votes(self, texts: Sequence[str]) -> Float32:
        """Sum the BM25 weights of normalised texts over the classes, sharpen and centre: (n, 1000), unit or zero."""
        out = np.zeros((len(texts), len(self.vectors)), np.float32)
        for row, text in zip(out, texts, strict=True):
            for term, weight in (dict.fromkeys(english_terms(text), 1.0) | chinese_terms(text)).items():
                number = self.vocabulary.get(term)
                if number is not None:
                    postings = slice(self.starts[number], self.starts[number + 1])
                    row[self.classes[postings]] += weight * self.weights[postings]
        return _centred(out**_SHARPEN)

    def query(self, vectors: Float32, texts: Sequence[str]) -> Float32:
        """Join the word vectors (n, 256) and the votes of normalised texts: float32 (n, 640), unit length or zero."""
        return unit(np.concatenate([self.words(vectors), unit(self.votes(texts) @ self.projection)], axis=1))

    def picture(self, classes: Float32) -> Float32:
        """Turn class weights (n, 1000) into what a query meets: float32 (n, 640), unit length."""
        spoken = classes / classes.sum(axis=1, keepdims=True) @ self.vectors
        words = unit(spoken - self.vectors.mean(axis=0))
        return unit(np.concatenate([words, unit(_centred(classes) @ self.projection)], axis=1))

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


def digest() -> str:
    """Digest of the packaged texts and projection."""
    return hashlib.sha256(CLASS_TEXTS.read_bytes() + PROJECTION.read_bytes()).hexdigest()


def build() -> Index:
    """Build the index from the packaged class texts and the word vectors."""
    rows = read_class_texts(CLASS_TEXTS)
    captions = [[normalise(text) for text in cast("list[str]", row["en"])] for row in rows]
    embedder = WordVectors(verify=True)
    vectors = np.stack([unit(embedder.embed(texts)).mean(axis=0) for texts in captions])
    terms, starts, classes, weights = _bm25([_document(row) for row in rows])
    return Index(
        vectors=unit(vectors),
        mean_text=vectors.mean(axis=0).astype(np.float32),
        terms=np.array(joined(terms)),
        starts=starts,
        classes=classes,
        weights=weights,
    )


def _document(row: dict[str, object]) -> list[str]:
    english = [str(row["name"]), *cast("list[str]", row["en"])]
    chinese = cast("list[str]", row["zh"]) + cast("list[str]", row["zh_names"])
    return english_terms(normalise(" ".join(english))) + [t for text in chinese for t in chinese_terms(normalise(text))]


def _centred(rows: Float32) -> Float32:
    return unit(rows - rows.mean(axis=1, keepdims=True))


def _bm25(documents: Sequence[Sequence[str]]) -> Postings:
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
