"""Stages and batches: order, back-pressure, errors, stopping, and workers that hang."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator

import pytest

from footage.pipeline import Beat, Busy, GiveWay, Stopped, batched, stage

LONG = 60.0  # seconds: no test waits so long unless something hangs


def twice(item: int, _beat: Beat) -> Iterator[tuple[int, int]]:
    yield item, 0
    yield item, 1


def wait_for(what: Callable[[], bool]) -> None:
    end = time.monotonic() + LONG
    while not what():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_everything_comes_once_and_in_order_per_item(workers: int) -> None:
    found = list(stage(range(200), twice, stop=threading.Event(), workers=workers, depth=3))
    assert sorted(found) == [(i, j) for i in range(200) for j in (0, 1)]
    seen: set[int] = set()
    for item, part in found:
        assert (part == 1) == (item in seen)
        seen.add(item)
    if workers == 1:
        assert found == sorted(found)


def test_no_items() -> None:
    assert list(stage([], twice, stop=threading.Event(), workers=3)) == []


def test_a_chain_of_stages() -> None:
    stop = threading.Event()
    first = stage(range(50), lambda i, _: [i + 1], stop=stop, workers=2, depth=2)
    second = stage(first, lambda i, _: [i * 2], stop=stop, workers=3, depth=2)
    assert sorted(second) == [2 * (i + 1) for i in range(50)]


def test_back_pressure_is_bounded() -> None:
    taken: list[int] = []

    def source() -> Iterator[int]:
        for i in range(1000):
            taken.append(i)
            yield i

    stop = threading.Event()
    results = stage(source(), lambda i, _: [i], stop=stop, workers=2, depth=4)
    next(results)
    wait_for(lambda: len(taken) >= 1 + 4 + 2)  # one read, a full queue, one in the hands of each worker
    threading.Event().wait(0.3)
    assert len(taken) == 1 + 4 + 2
    stop.set()


def test_an_error_of_the_work_is_raised_with_its_traceback() -> None:
    def work(item: int, _beat: Beat) -> Iterator[int]:
        yield item
        if item == 3:
            breaks_here(item)

    stop = threading.Event()
    with pytest.raises(ZeroDivisionError) as caught:
        list(stage(range(10), work, stop=stop, workers=2))
    stop.set()
    assert "breaks_here" in "".join(traceback.format_tb(caught.tb))


def breaks_here(item: int) -> float:
    return item / 0


@pytest.mark.parametrize("chained", [False, True])
def test_an_error_of_the_source_is_raised_after_what_came_before(chained: bool) -> None:
    def source() -> Iterator[int]:
        yield 1
        yield 2
        raise KeyError("the source broke")

    stop, found = threading.Event(), list[int]()
    results = stage(source(), lambda i, _: [i], stop=stop)
    if chained:
        results = stage(results, lambda i, _: [i], stop=stop)
    with pytest.raises(KeyError, match="the source broke") as caught:
        found.extend(results)  # extend keeps what came before the error
    stop.set()
    assert found == [1, 2]
    assert any(f.name == "source" for f in traceback.extract_tb(caught.tb))


@pytest.mark.parametrize("workers", [1, 3])
def test_an_error_is_never_lost_on_its_way_through_a_chain(workers: int) -> None:
    """Stages share one stop: the one that fails must not silence the ones that relay its error."""
    for _ in range(40):
        stop = threading.Event()
        results = stage(range(5), lambda i, _: [1 // (3 - i)], stop=stop, workers=workers, depth=1)
        for _ in range(3):
            results = stage(results, lambda i, _: [i], stop=stop, depth=1)
        with pytest.raises(ZeroDivisionError):
            list(results)
        stop.set()


def test_closing_a_chain_stops_it() -> None:
    stop = threading.Event()
    results = stage(stage(iter(int, 1), lambda i, _: [i], stop=stop), lambda i, _: [i], stop=stop)
    before = set(threading.enumerate())
    assert next(results) == 0
    started = set(threading.enumerate()) - before
    assert len(started) == 2
    results.close()
    assert stop.is_set()
    wait_for(lambda: not any(thread.is_alive() for thread in started))


def test_even_an_interrupt_in_a_worker_is_relayed() -> None:
    def work(_item: int, _beat: Beat) -> Iterator[int]:
        raise KeyboardInterrupt
        yield 0

    with pytest.raises(KeyboardInterrupt):
        list(stage([1], work, stop=threading.Event()))


def test_stop_returns_at_once_and_unwinds_the_workers() -> None:
    unwound, begun = threading.Event(), threading.Event()

    def work(_item: int, beat: Beat) -> Iterator[int]:
        try:
            begun.set()
            while True:
                beat()
                time.sleep(0.005)
        except Stopped:
            unwound.set()
            raise
        yield 0

    stop = threading.Event()
    results = stage([1, 2, 3], work, stop=stop, workers=1)

    def press() -> None:
        begun.wait(LONG)
        stop.set()

    threading.Thread(target=press).start()
    assert list(results) == []  # though the work has no end
    assert unwound.wait(LONG)


def test_a_reader_hears_while_nothing_comes() -> None:
    """And so does `batched`, which lets go of what has waited long enough."""
    gate = threading.Event()

    def work(item: int, _: Beat) -> Iterator[int | None]:
        if item == 2:
            assert gate.wait(LONG)
        yield item

    silent = stage([1, 2], work, stop=threading.Event(), on_idle=lambda: None)
    found: list[list[int | None]] = []
    for group in batched(silent, lambda item: item and 1, size=10, patience=0.15):
        found.append(group)
        if group == [1]:
            gate.set()
    assert found.index([1]) < found.index([2]) and found[0] == [None]
    assert [group for group in found if group != [None]] == [[1], [2]]


def test_stop_reaches_a_chain_that_waits_for_room() -> None:
    stop = threading.Event()
    first = stage(iter(int, 1), lambda i, _: [i], stop=stop, workers=2, depth=2)
    second = stage(first, lambda i, _: [i], stop=stop, depth=2)
    before = set(threading.enumerate())  # some of them may be of the tests before, and end at any time
    assert next(second) == 0
    started = set(threading.enumerate()) - before
    assert len(started) == 3
    stop.set()
    assert list(second) == []
    wait_for(lambda: not any(thread.is_alive() for thread in started))


class Clock:
    """Stands in for the module `time` of the pipeline: it moves when a test wants it to, though a machine may halt."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.looks, self.reader = 0.0, 0, threading.current_thread()
        monkeypatch.setattr("footage.pipeline.time", self)

    def monotonic(self) -> float:
        self.looks += threading.current_thread() is self.reader
        return self.now

    def go_on(self, seconds: float) -> None:
        """Let so much time go by between two looks of the reader who is stalled; for one worker."""
        seen = self.looks
        wait_for(lambda: self.looks > seen)
        self.now += seconds
        seen = self.looks
        wait_for(lambda: self.looks >= seen + 4)  # two a round


class Hang:
    """Work that hangs on some items until it is released."""

    def __init__(self, items: Iterable[int], before: int = 0) -> None:
        self.items, self.before = set(items), before
        self.release, self.woke = threading.Event(), threading.Event()

    def __call__(self, item: int, _beat: Beat) -> Iterator[str]:
        if item not in self.items:
            yield f"done {item}"
            return
        for n in range(self.before):
            yield f"part {n} of {item}"
        self.release.wait(LONG)
        self.woke.set()
        yield f"late {item}"


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_a_stalled_worker_is_replaced_and_the_rest_goes_on(workers: int) -> None:
    hang = Hang([2, 5])
    found = list(
        stage(range(8), hang, stop=threading.Event(), workers=workers, stall=1.0, on_stall=lambda i: f"gave up {i}")
    )
    assert sorted(found) == sorted([f"done {i}" for i in (0, 1, 3, 4, 6, 7)] + ["gave up 2", "gave up 5"])
    assert not hang.woke.is_set(), "they were waited for"
    hang.release.set()


def test_without_a_limit_a_slow_worker_is_waited_for() -> None:
    hang = Hang([0])
    threading.Timer(0.5, hang.release.set).start()
    assert list(stage([0, 1], hang, stop=threading.Event())) == ["late 0", "done 1"]


def test_results_of_an_abandoned_worker_are_dropped() -> None:
    hang = Hang([0], before=2)
    last_may_come = threading.Event()

    def source() -> Iterator[int]:
        yield 0
        yield 1
        last_may_come.wait(LONG)
        yield 2

    results = stage(source(), hang, stop=threading.Event(), stall=1.0, on_stall=lambda i: f"gave up {i}")
    first = [next(results) for _ in range(4)]
    assert first == ["part 0 of 0", "part 1 of 0", "gave up 0", "done 1"]
    hang.release.set()
    assert hang.woke.wait(LONG)
    last_may_come.set()
    assert list(results) == ["done 2"]


def test_beats_and_results_are_signs_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)

    def work(item: int, beat: Beat) -> Iterator[int]:
        for _ in range(5):
            clock.go_on(0.3)
            beat()
        yield item
        for _ in range(3):
            clock.go_on(0.3)
            yield item

    found = list(stage([1, 2], work, stop=threading.Event(), stall=0.4, on_stall=lambda _: -1))
    assert found == [1] * 4 + [2] * 4

    def silent(item: int, _: Beat) -> Iterator[int]:
        clock.go_on(0.5)
        yield item

    found = list(stage([1], silent, stop=threading.Event(), stall=0.4, on_stall=lambda _: -1))
    assert found == [-1], "by the same clock it is given up without one"


def test_waiting_for_room_is_no_stall(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    taken: list[int] = []

    def source() -> Iterator[int]:
        for number in range(6):
            taken.append(number)
            yield number

    results = stage(source(), lambda i, _: [i], stop=threading.Event(), depth=1, stall=0.2, on_stall=lambda _: -1)
    found = [next(results)]
    wait_for(lambda: len(taken) == 3)  # one read, one in the queue, one in the hands of the worker,
    threading.Event().wait(0.3)  # who waits for room by now
    clock.now += 10  # the reader is slow, not the worker
    assert found + list(results) == list(range(6))


def test_waiting_for_an_item_is_no_stall(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)

    def source() -> Iterator[int]:
        yield 0
        clock.go_on(10)
        yield 1

    assert list(stage(source(), lambda i, _: [i], stop=threading.Event(), stall=0.2, on_stall=lambda _: -1)) == [0, 1]


def test_a_stall_is_noticed_while_others_keep_the_queue_full() -> None:
    hang, items = Hang([0]), iter(range(1_000_000))
    stop = threading.Event()
    results = stage(items, hang, stop=stop, workers=2, depth=2, stall=0.3, on_stall=lambda i: f"gave up {i}")
    started = time.monotonic()
    for result in results:
        if result == "gave up 0":
            break
        assert time.monotonic() - started < LONG, "the stall was not noticed"
        time.sleep(0.005)  # slower than the worker, so that the queue is never empty
    stop.set()
    hang.release.set()


def test_a_worker_that_goes_on_in_time_is_not_given_up_because_the_reader_was_slow() -> None:
    """Two workers look stalled at once; while the reader handles the first, the second must not change its item."""
    both = threading.Barrier(2)
    release = threading.Event()

    def work(item: int, _beat: Beat) -> Iterator[str]:
        if item < 2:
            both.wait(LONG)
            release.wait(LONG)
        yield f"done {item}"

    results = stage(range(4), work, stop=threading.Event(), workers=2, stall=0.3, on_stall=lambda i: f"gave up {i}")
    found = [next(results)]
    release.set()  # both go on now; the second was given up together with the first, or is done: never both
    threading.Event().wait(0.2)
    found += results
    for item in range(4):
        assert sum(f in (f"done {item}", f"gave up {item}") for f in found) == 1, found


def test_busy_counts_work_and_not_waiting() -> None:
    busy = Busy()
    worked = 0.0

    def work(item: int, _beat: Beat) -> Iterator[int]:
        nonlocal worked
        started = time.monotonic()
        time.sleep(0.1)  # or longer, as the machine likes
        worked += time.monotonic() - started
        yield item

    for _ in stage(range(4), work, stop=threading.Event(), depth=1, busy=busy):
        time.sleep(0.6)  # of which a worker waits for room some 0.5 s, twice
    assert worked <= busy.seconds < worked + 0.5 and busy.workers == 1


def test_batches_cross_keys_and_let_none_pass() -> None:
    items = [("a", 1), ("b", 2), ("a", 3), (None, 4), ("b", 5), ("a", 6), ("a", 7)]
    found = list(batched(items, lambda item: item[0], size=2, patience=99))
    a, b = [("a", 1), ("a", 3)], [("b", 2), ("b", 5)]
    assert found == [a, [(None, 4)], b, [("a", 6), ("a", 7)]]


def test_what_is_left_comes_at_the_end() -> None:
    assert list(batched([1, 2, 3, 4], lambda i: i % 2, size=3, patience=99)) == [[1, 3], [2, 4]]
    assert list(batched([], lambda _: 1, size=3, patience=99)) == []


def test_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def items() -> Iterator[str]:
        for at, item in ((0, "a"), (1, "b"), (2.5, "b"), (3.5, "c"), (9, "c")):
            now[0] = at
            yield item

    # "a" has waited 2.5 s when the third item comes; the "b"s since second 1, until the fourth
    assert list(batched(items(), lambda i: i, size=10, patience=2)) == [["a"], ["b", "b"], ["c", "c"]]


# ----------------------------------------------------------------------------------------------------------- giving way


@pytest.fixture
def longest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has to give way would do so for long: no halt of the machine looks like the end of a wait."""
    monkeypatch.setattr("footage.pipeline._LONGEST", 4 * LONG)


def given(way: GiveWay) -> threading.Thread:
    """Give way on another thread; of its own, it has never worked: the longest wait."""
    thread = threading.Thread(target=way.give, daemon=True)
    thread.start()
    return thread


@pytest.mark.usefixtures("longest")
def test_nobody_first_nobody_waits() -> None:
    way = GiveWay()
    started = time.monotonic()
    for _ in range(1000):
        way.give()
    assert time.monotonic() - started < LONG


@pytest.mark.usefixtures("longest")
def test_who_gives_way_waits_until_the_others_are_done() -> None:
    way = GiveWay(share=0.01)
    with way.first(), way.first():
        thread = given(way)
        thread.join(0.2)
        assert thread.is_alive()
    thread.join(LONG)
    assert not thread.is_alive()


def test_who_gives_way_keeps_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)

    class Never:
        """An event that does not come while the clock is watched."""

        def is_set(self) -> bool:
            return False

        def wait(self, seconds: float) -> bool:
            clock.now += seconds
            return False

    way = GiveWay(share=0.25)
    way._clear = Never()  # type: ignore[assignment]
    way.give()
    started, worked = clock.now, 0.0
    for seconds in 20 * (0.01, 0.05, 0.3):
        clock.now += seconds  # work
        worked += seconds
        way.give()
    assert worked / (clock.now - started) == pytest.approx(0.25)


def test_a_wait_has_an_end_after_long_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("footage.pipeline._LONGEST", 0.1)
    way = GiveWay(share=0.001)
    with way.first():
        started = time.monotonic()
        thread = given(way)  # as if it had worked for ever
        thread.join(LONG)
        assert not thread.is_alive() and time.monotonic() - started > 0.09


@pytest.mark.usefixtures("longest")
def test_an_error_of_those_who_go_first_lets_the_others_go_on() -> None:
    way = GiveWay()
    with pytest.raises(ZeroDivisionError), way.first():
        raise ZeroDivisionError
    thread = given(way)
    thread.join(LONG)
    assert not thread.is_alive()
