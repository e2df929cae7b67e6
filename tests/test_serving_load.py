"""Many at once: what waits is answered together, searches go before indexing, and indexing goes on all the same."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import httpx
import pytest
from clips import clip
from clips import library as open_library
from holding import Hold
from serving import serving

from footage.api import ServeOptions
from footage.api.faults import Busy, TookTooLong
from footage.api.gate import Gate
from footage.api.jobs import Jobs
from footage.errors import QueryError
from footage.library import Library
from footage.pipeline import GiveWay

LONG = 60.0  # seconds: no test waits so long unless something hangs


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate("test", 1, 40, LONG)
    yield made
    made.close()


class Answering:
    """Doubles numbers; holds its first call until `go_on`, and notes what came together."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.go_on = threading.Event()

    def __call__(self, numbers: Sequence[int]) -> list[int | Exception]:
        self.calls.append(list(numbers))
        if len(self.calls) == 1:
            assert self.go_on.wait(LONG)
        if 13 in numbers:
            raise ZeroDivisionError("nobody's in particular")
        return [QueryError(f"no {n}") if n < 0 else 2 * n for n in numbers]


async def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + LONG
    while not true():
        assert time.monotonic() < end
        await asyncio.sleep(0.01)


async def all_at_once(gate: Gate, answer: Answering, numbers: Sequence[int]) -> list[int | BaseException]:
    """The first number is at work while the others come."""
    tasks = [asyncio.create_task(gate.ask(numbers[0], answer))]
    await until(lambda: len(answer.calls) == 1)
    tasks += [asyncio.create_task(gate.ask(number, answer)) for number in numbers[1:]]
    await until(lambda: gate.inside == len(numbers))
    answer.go_on.set()
    return await asyncio.gather(*tasks, return_exceptions=True)


def test_what_waits_is_answered_together(gate: Gate) -> None:
    answer = Answering()
    numbers = list(range(20, 50))
    assert asyncio.run(all_at_once(gate, answer, numbers)) == [2 * n for n in numbers]
    assert [len(call) for call in answer.calls] == [1, 16, 13]
    assert sorted(n for call in answer.calls for n in call) == numbers
    assert gate.inside == 0 and not gate._line


def test_each_gets_its_own_error(gate: Gate) -> None:
    found = asyncio.run(all_at_once(gate, Answering(), [1, 2, -3, 4]))
    assert [found[0], found[1], found[3]] == [2, 4, 8]
    assert isinstance(found[2], QueryError) and "-3" in str(found[2])


def test_one_that_breaks_does_not_break_the_others(gate: Gate) -> None:
    answer = Answering()
    found = asyncio.run(all_at_once(gate, answer, [1, 2, 13, 4]))
    assert [found[0], found[1], found[3]] == [2, 4, 8] and isinstance(found[2], ZeroDivisionError)
    assert answer.calls == [[1], [2, 13, 4], [2], [13], [4]]


def test_a_client_that_leaves_is_not_answered(gate: Gate) -> None:
    answer = Answering()

    async def leaving() -> None:
        first = asyncio.create_task(gate.ask(1, answer))
        await until(lambda: len(answer.calls) == 1)
        second, third = (asyncio.create_task(gate.ask(n, answer)) for n in (2, 3))
        await until(lambda: gate.inside == 3)
        second.cancel()
        await until(lambda: len(gate._line) == 1)
        answer.go_on.set()
        assert await first == 2 and await third == 6

    asyncio.run(leaving())
    assert answer.calls == [[1], [3]]


def test_too_many_and_too_slow() -> None:
    small = Gate("small", 1, 1, LONG)
    answer = Answering()

    async def ask() -> None:
        loop, later = asyncio.get_running_loop(), [0.0]
        now = loop.time
        loop.time = lambda: now() + later[0]  # type: ignore[method-assign]
        first = asyncio.create_task(small.ask(1, answer))
        await until(lambda: len(answer.calls) == 1)
        second = asyncio.create_task(small.ask(2, answer))
        await until(lambda: small.inside == 2)
        with pytest.raises(Busy):
            await small.ask(3, answer)
        later[0] = 2 * LONG  # not before all of this is so, however slow the machine
        for late in (first, second):
            with pytest.raises(TookTooLong):
                await late
        assert not small._line and small.refused == 1
        answer.go_on.set()

    asyncio.run(ask())
    small.close()
    assert answer.calls == [[1]]


# ---------------------------------------------------------------------------------------------------- beside indexing


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(6):
        clip(tmp_path / "many" / f"{number}.mp4", *(number * 10 + n for n in range(4)))
    return tmp_path / "many"


@pytest.fixture
def library(tmp_path: Path) -> Library:
    made = open_library(tmp_path / "library")
    made.index(clip(tmp_path / "first.mp4", 901, 902))
    return made


def test_indexing_waits_for_whoever_goes_first(library: Library, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("footage.pipeline._LONGEST", 60.0)
    jobs = Jobs(library, 4)
    jobs.way = GiveWay(share=1e-6)
    try:
        with jobs.way.first():
            job = jobs.add([folder], ["many"])
            end = time.monotonic() + LONG
            while job.state == "queued" and time.monotonic() < end:
                time.sleep(0.02)
            time.sleep(1.0)
            assert job.state == "running" and job.progress.files_done == 0 and job.progress.load.seconds < 0.9
        end = time.monotonic() + 120
        while not job.over and time.monotonic() < end:
            time.sleep(0.02)
        assert job.state == "done" and job.counts == {"indexed": 6}
    finally:
        jobs.close()


def test_a_search_goes_first_from_its_coming_to_its_answer(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    ways: list[GiveWay] = []
    real_init, real_search = GiveWay.__init__, Library.search_many
    seen: list[bool] = []

    def init(self: GiveWay, share: float = 0.25) -> None:
        real_init(self, share)
        ways.append(self)

    def search_many(self: Library, questions: object) -> object:
        seen.append(ways[-1]._clear.is_set())
        return real_search(self, questions)  # type: ignore[arg-type]

    monkeypatch.setattr(GiveWay, "__init__", init)
    monkeypatch.setattr(Library, "search_many", search_many)
    with serving(library) as served:
        assert served.client.get("/api/v1/search", params={"q": "blocks"}).status_code == 200
        words = {"parts": [{"kind": "text", "value": "blocks"}]}
        assert served.client.post("/api/v1/search", json=words).status_code == 200
        assert served.client.get("/api/v1/search", params={"q": "blocks", "after": "no date"}).status_code == 400
        assert seen == [False, False, False][: len(seen)] and len(seen) >= 2
        assert len(ways) == 1 and ways[0]._clear.is_set(), "and not a moment longer"


def test_indexing_goes_on_under_a_flood_of_searches(
    library: Library, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold = Hold(monkeypatch, lambda name: name == "5.mp4")  # so that it does not end before all have asked
    with serving(library, ServeOptions(allow_dirs=(folder,))) as served:
        over = threading.Event()
        wrong: list[str] = []
        counts = [0] * 8

        def ask(number: int) -> None:
            with httpx.Client(base_url=served.url, timeout=120, trust_env=False) as client:
                while not over.is_set():
                    q = f"coloured blocks {number} {counts[number]}"
                    answer = client.get("/api/v1/search", params={"q": q, "k": 50})
                    counts[number] += 1
                    if answer.status_code != 200 or not answer.json()["moments"]:
                        wrong.append(answer.text)

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        job = served.client.post("/api/v1/index", json={"folders": ["many"]}).json()["id"]
        end = time.monotonic() + LONG
        while min(counts) <= 3 and time.monotonic() < end:
            time.sleep(0.02)
        seen = min(counts)
        hold.go()
        done = served.wait(job)
        over.set()
        for thread in threads:
            thread.join()
        assert done["counts"] == {"indexed": 6} and wrong == []
        assert seen > 3, "nobody was left waiting"


def test_together_over_http_is_as_alone(library: Library) -> None:
    with serving(library) as served:

        def answer(number: int) -> tuple[int, object]:
            with httpx.Client(base_url=served.url, timeout=120, trust_env=False) as client:
                after = "no date" if number % 4 == 3 else None
                params = {"q": f"blocks {number}", "k": 1 + number % 3} | ({"after": after} if after else {})
                found = client.get("/api/v1/search", params=params)
                return found.status_code, {k: v for k, v in found.json().items() if k != "took_ms"}

        wanted = [answer(number) for number in range(12)]
        found: dict[int, tuple[int, object]] = {}
        threads = [
            threading.Thread(target=lambda n=number: found.update({n: answer(n)})) for number in range(12) for _ in "ab"
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [found[number] for number in range(12)] == wanted
        assert [status for status, _ in wanted] == [200, 200, 200, 400] * 3
