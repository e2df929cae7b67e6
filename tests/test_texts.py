"""Timed texts: one contract for all stores; `memory` is exact, and says what is right."""

from __future__ import annotations

import math
import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from milvus_server import MilvusProcess
from test_stores import IMAGE, fill, rows, video

from footage.errors import ConfigError, QueryError, StoreError
from footage.stores import Store, open_store
from footage.stores.texts import K1, B, asked, terms
from footage.types import TextHit, TimedText

Make = Callable[[], Store]


@pytest.fixture(params=["memory", "lance", "lite", "bm25"])
def make(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Opens the same store anew; in memory there is but one.

    `bm25` is what a server from 2.5 on is asked, which is not at hand, asked of Milvus Lite, which understands it.
    """
    opened: list[Store] = []
    uri = {"memory": "memory:", "lance": f"lance:{tmp_path / 'lance'}"}.get(
        request.param, f"milvus:{tmp_path / 'lite'}"
    )
    if uri.startswith("milvus:"):
        pytest.importorskip("milvus_lite")
    if request.param == "bm25":
        monkeypatch.setattr("footage.stores.milvus.link.Able.ranks_texts", True)

    def open_one() -> Store:
        if request.param == "memory" and opened:
            return opened[0]
        opened.append(open_store(uri))
        return opened[-1]

    yield open_one
    for store in opened:
        store.close()


@pytest.fixture
def store(make: Make) -> Store:
    return make()


def text(words: str, at: float = 0.0, video_id: str = "v0000", kind: str = "speech", language: str = "") -> TimedText:
    return TimedText(video_id, at, at + 2.5, words, kind, language)


TALK = [
    text("The dogs are running on the beach", 1, language="en"),
    text("A dog sleeps. The other dogs don’t.", 4, language="en"),
    text("Nobody is at home", 7, language="en"),
]
NEWS = [
    text("一只狗在海滩上奔跑", 0, "v0001", language="zh"),
    text("今天的天气很好", 3, "v0001", language="zh"),
    text("BEACH BAR – Café ÉTOILE", 3, "v0001", "ocr"),
]


def talk(store: Store) -> Store:
    fill(store, 3)
    store.put_texts([*TALK, *NEWS])
    return store


def found(hits: list[TextHit]) -> list[tuple[str, float]]:
    return [(hit.text.video_id, hit.text.start) for hit in hits]


# what a word is


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("The Dogs' house", ["the", "dog", "house"]),
        ("don't, don’t", ["dont", "dont"]),
        ("bus glass cities boxes horses shoes", ["bus", "glass", "city", "box", "horse", "shoes"]),
        ("Café STRASSE straße ﬁlm", ["cafe", "strasse", "strasse", "film"]),
        ("snake_case 4K-video №5", ["snake", "case", "4k", "video", "no5"]),
        ("海滩上", ["海", "滩", "上", "海滩", "滩上"]),
        ("iPhone手机", ["iphone", "手", "机", "手机"]),
        ("ドア", ["ド", "ア", "ドア"]),
        ("♪ … ♪", []),
    ],
)
def test_terms(words: str, expected: list[str]) -> None:
    assert terms(words) == expected


def test_what_is_asked() -> None:
    assert asked("dog dogs DOG", 1) == ["dog"]
    assert asked("海滩上 狗", 1) == ["海滩", "滩上", "狗"]


# the contract


def test_texts_come_back_exactly(make: Make) -> None:
    store = talk(make())
    odd = text("'\"; drop -- \n日本 ü 𝄞", 1 / 3, "v0002", "x-1", "zh-Hant")
    store.put_texts([odd])
    for each in (store, make()):
        assert each.texts("v0000") == TALK
        assert each.texts("v0001") == [NEWS[0], NEWS[2], NEWS[1]]
        assert each.texts("v0002") == [odd] and each.texts("unknown") == []
        counts = {("v0000", "speech"): 3, ("v0001", "speech"): 2, ("v0001", "ocr"): 1, ("v0002", "x-1"): 1}
        assert each.text_counts() == counts


def test_words_are_found(make: Make) -> None:
    talk(make())
    store = make()
    assert found(store.search_texts("dog", 10)) == [("v0000", 4.0), ("v0000", 1.0)]
    assert found(store.search_texts("BEACHES", 10)) == [("v0001", 3.0), ("v0000", 1.0)]
    assert found(store.search_texts("sleeping or home", 10)) == [("v0000", 7.0)]
    assert found(store.search_texts("cafe etoile", 10)) == [("v0001", 3.0)]
    assert found(store.search_texts("dont", 10)) == [("v0000", 4.0)]
    assert store.search_texts("elephant", 10) == []
    (hit,) = store.search_texts("nobody", 10)
    assert hit.text == TALK[2] and hit.score > 0


def test_chinese_is_found_without_spaces(store: Store) -> None:
    talk(store)
    assert found(store.search_texts("海滩", 10)) == [("v0001", 0.0)]
    assert found(store.search_texts("狗", 10)) == [("v0001", 0.0)]
    assert found(store.search_texts("天气很好", 10)) == [("v0001", 3.0)]
    assert store.search_texts("滩海", 10) == []


def test_the_restriction_comes_before_the_search(store: Store) -> None:
    fill(store, 40)
    store.put_texts([text(f"gamma gamma gamma w{i}", i, f"v{i:04}") for i in range(39)])
    store.put_texts([text("gamma and very many other words beside it", 0, "v0039", "ocr")])
    assert found(store.search_texts("gamma", 3, videos=["v0039", "nope"])) == [("v0039", 0.0)]
    assert found(store.search_texts("gamma", 3, kinds=["ocr"])) == [("v0039", 0.0)]
    assert store.search_texts("gamma", 3, kinds=["ocr"], videos=["v0001"]) == []
    assert store.search_texts("gamma", 3, kinds=[]) == [] and store.search_texts("gamma", 3, videos=[]) == []
    most = [f"v{i:04}" for i in range(1, 40)]
    assert {i for i, _ in found(store.search_texts("gamma", 99, videos=most))} == set(most)
    assert len(store.search_texts("gamma", 99)) == 40 and len(store.search_texts("gamma", 7)) == 7


def test_put_replaces_a_kind_of_a_video(make: Make) -> None:
    store = talk(make())
    fewer = [text("A cat on the sofa", 2), text("Another cat", 1)]
    for _ in range(2):
        store.put_texts(fewer)
    for each in (store, make()):
        assert each.texts("v0000") == fewer[::-1]
        assert each.text_counts() == {("v0000", "speech"): 2, ("v0001", "speech"): 2, ("v0001", "ocr"): 1}
        assert found(each.search_texts("dog", 10)) == []
        assert found(each.search_texts("cats", 10)) == [("v0000", 1.0), ("v0000", 2.0)]
    store.put_texts([text("new words", 0, "v0001", "ocr")], of=[("v0000", "speech"), ("v0002", "speech")])
    assert store.text_counts() == {("v0001", "speech"): 2, ("v0001", "ocr"): 1}
    assert store.texts("v0000") == [] and store.search_texts("cat", 5) == []
    store.put_texts([])


def test_texts_wait_for_the_mark_of_their_video(make: Make) -> None:
    store = talk(make())
    store.put_texts([text("dogs dogs dogs", i, "hidden") for i in range(60)])
    for each in (store, make()):
        assert each.texts("hidden") == []
        assert found(each.search_texts("dog", 2)) == [("v0000", 4.0), ("v0000", 1.0)]
        assert each.text_counts()["hidden", "speech"] == 60
    store.add([rows("hidden")])
    store.commit([video("hidden")])
    assert len(store.search_texts("dog", 100)) == 62 and len(store.texts("hidden")) == 60


def test_texts_stay_where_a_video_is_made_anew(make: Make) -> None:
    """Nothing can make them anew: they outlive a run that is killed between the removal and the new mark."""
    store = talk(make())
    before = store.texts("v0001"), store.text_counts()
    store.put(video("v0001"), [rows("v0001")])
    assert (store.texts("v0001"), store.text_counts()) == before
    store.delete(["v0001"], texts=False)
    store.add([rows("v0001")])
    for each in (store, make()):
        assert each.texts("v0001") == [] and each.text_counts() == before[1]
        assert all(video_id != "v0001" for video_id, _ in found(each.search_texts("dog cat gamma beach", 99)))
    store = make()
    store.sweep()
    assert store.text_counts() == before[1] and store.sweep() == 0
    store.put(video("v0001"), [rows("v0001")])
    for each in (store, make()):
        assert (each.texts("v0001"), each.text_counts()) == before


def test_texts_go_with_their_video(make: Make) -> None:
    store = talk(make())
    store.put_texts([text("dogs of nobody", 0, "orphan"), text("more dogs", 1, "o'hara")])
    store.delete(["v0000", "o'hara"])
    assert store.texts("v0000") == [] and store.search_texts("nobody", 5) == []
    assert store.text_counts() == {("orphan", "speech"): 1, ("v0001", "speech"): 2, ("v0001", "ocr"): 1}
    store.delete(["orphan", "v0001"])
    assert store.text_counts() == make().text_counts() == {}
    store.put_texts(TALK)
    assert store.text_counts() == {("v0000", "speech"): 3}
    store.erase()
    for each in (store, make()):
        assert each.text_counts() == {} and each.texts("v0000") == [] and each.search_texts("dog", 5) == []
    assert found(talk(store).search_texts("sofa sleeps", 5)) == [("v0000", 4.0)]


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"kind": "Speech"}, "kind 'Speech'"),
        ({"kind": ""}, "kind ''"),
        ({"language": "x" * 36}, "language"),
        ({"language": "en'"}, "language"),
        ({"start": -1.0}, "ends at"),
        ({"end": 0.5}, "ends at 0.5 s"),
        ({"end": math.nan}, "ends at nan"),
        ({"text": " \n"}, "empty"),
        ({"text": "word " * 20_000}, "100,000 characters"),
        ({"text": "字" * 6_000}, "6,000 characters"),
        ({"text": "half \ud83d"}, "no valid text"),
    ],
)
def test_what_is_refused_is_not_written(store: Store, changes: dict[str, object], what: str) -> None:
    talk(store)
    with pytest.raises(QueryError, match=what) as caught:
        store.put_texts([text("good", 0), replace(TALK[0], **changes)])
    assert caught.value.hint and store.texts("v0000") == TALK


def test_questions_that_are_none(store: Store) -> None:
    for query in ("", "  ", "?!"):
        with pytest.raises(QueryError, match="no words"):
            store.search_texts(query, 5)
    with pytest.raises(QueryError, match="at least 1"):
        store.search_texts("dog", 0)
    assert store.search_texts("dog", 5) == [] and store.texts("v") == [] and store.text_counts() == {}
    fill(store, 1)
    assert store.search_texts("dog", 5) == [] and store.texts("v0000") == []
    store.put_texts([text("♪", 3)])
    assert store.texts("v0000") == [text("♪", 3)]


def test_a_closed_store_says_so(store: Store) -> None:
    talk(store)
    store.close()
    for use in (
        lambda: store.put_texts(TALK),
        lambda: store.search_texts("dog", 1),
        lambda: store.texts("v0000"),
        store.text_counts,
    ):
        with pytest.raises(StoreError, match="closed"):
            use()


def many(videos: int, seed: int = 3) -> list[TimedText]:
    """Texts of words that are as often as in a language (Zipf), and of three lengths."""
    rng = np.random.default_rng(seed)
    words = np.array([f"w{i}x" for i in range(3000)])
    share = 1 / np.arange(2, 3002)
    share /= share.sum()
    return [
        text(
            " ".join(rng.choice(words, rng.integers(3, 20), p=share)),
            at,
            f"v{i:04}",
            "ocr" if at % 5 == 0 else "speech",
        )
        for i in range(videos)
        for at in range(40)
    ]


def test_scores_are_those_of_the_paper(store: Store, request: pytest.FixtureRequest) -> None:
    """The formula written out, over all texts; an index of several parts would count rarity part by part."""
    if "bm25" in request.node.name:
        pytest.skip("Milvus Lite counts file by file")
    texts = many(20)
    fill(store, 20)
    store.put_texts(texts)
    store.refresh()
    words = [Counter(terms(each.text)) for each in texts]
    mean = sum(each.total() for each in words) / len(texts)
    for query in ("w1x w40x", "w700x w3x w250x"):
        right: list[float] = []
        for each in words:
            score = 0.0
            for term in query.split():
                df = sum(term in other for other in words)
                rare = math.log(1 + (len(words) - df + 0.5) / (df + 0.5))
                score += rare * each[term] * (K1 + 1) / (each[term] + K1 * (1 - B + B * each.total() / mean))
            right.append(score)
        hits = store.search_texts(query, 15)
        assert np.allclose([hit.score for hit in hits], sorted(right, reverse=True)[:15], rtol=1e-4)
        by_text = {(t.video_id, t.start): score for t, score in zip(texts, right, strict=True)}
        assert np.allclose([hit.score for hit in hits], [by_text[key] for key in found(hits)], rtol=1e-4)


def test_many_texts_are_found_however_they_were_written(store: Store) -> None:
    """In parts, some of them beside the index: which texts are found does not depend on it, and the best are good."""
    texts, truth = many(60), open_store("memory:")
    fill(store, 60)
    fill(truth, 60)
    for part in range(0, len(texts), 240):
        store.put_texts(texts[part : part + 240])
        if part == 1200:
            store.refresh()
    store.delete(["v0007"])
    truth.put_texts(texts)
    truth.delete(["v0007"])
    some = [f"v{i:04}" for i in range(0, 60, 3)]
    for query in ("w900x w1200x", "w50x", "w2x w333x w44x"):
        for videos in (None, some):
            mine, right = (each.search_texts(query, 10_000, videos=videos) for each in (store, truth))
            assert sorted(found(mine)) == sorted(found(right)), (query, videos)
            good = {hit.text for hit in right[:20]}
            assert len({hit.text for hit in mine[:10]} & good) >= 0.8 * min(10, len(right)), (query, videos)
            assert [hit.score for hit in mine] == sorted((hit.score for hit in mine), reverse=True)


# Milvus


def test_an_old_server_keeps_no_texts_and_says_so(milvus: MilvusProcess) -> None:
    store = open_store(milvus.uri, name=secrets.token_hex(8))
    try:
        fill(store, 2)
        assert store.keeps_texts is False
        for use in (lambda: store.put_texts(TALK), lambda: store.search_texts("dog", 3)):
            with pytest.raises(ConfigError, match="no full text search") as caught:
                use()
            assert "2.5" in caught.value.hint
        store.put_texts([])
        assert store.texts("v0000") == [] and store.text_counts() == {}
        store.delete(["v0000"])
        assert store.sweep() == 0 and store.counts(IMAGE.name) == {"v0001": 10}
    finally:
        store.erase()
        store.close()
