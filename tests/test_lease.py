"""Two writers at one table in turns, on a clock that a test moves; test_milvus.py has real processes on a server."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any, cast

import pytest

from footage.errors import StoreUnavailable
from footage.stores.milvus import lease
from footage.stores.milvus.lease import Lease


def nothing() -> None:
    pass


class Table:
    """The rows of a server, and what happens while an upsert is on its way there, and on the way back."""

    shown = "a server"

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self.before: Callable[[], None] = nothing
        self.behind: Callable[[], None] = nothing

    def call(self, what: str, name: str, rows: Any = (), *, filter: str = "") -> None:
        before, behind = self.before, self.behind
        if what == "upsert":
            self.before = self.behind = nothing
            before()
            self.rows |= {row["key"]: row for row in rows}
            behind()
        for key in re.findall(r'"(.*?)"', filter):
            self.rows.pop(key, None)

    def ask(self, *_: Any) -> list[dict[str, Any]]:
        return list(self.rows.values())

    @property
    def writers(self) -> set[str]:
        return {row["facts"]["writer"] for row in self.rows.values()}


class Clock:
    now = 1000.0

    def time(self) -> float:
        return self.now

    monotonic = time

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(lease, "time", made)
    thread = SimpleNamespace(start=nothing, join=lambda _: None)
    monkeypatch.setattr(lease.threading, "Thread", lambda **_: thread)  # beats come when a test wants them
    return made


@pytest.fixture
def table() -> Table:
    return Table()


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def writer(table: Table) -> Lease:
    return Lease(cast("Any", table), cast("Any", table), "videos")


def lost(one: Lease) -> None:
    with pytest.raises(StoreUnavailable, match="silent for too long"):
        one.check()


def test_who_slept_before_a_beat_arrived_writes_no_more(clock: Clock, table: Table, stack: ExitStack) -> None:
    one, other = writer(table), writer(table)
    stack.enter_context(one.held())
    table.before = lambda: stack.enter_context(other.held())
    clock.sleep(9)
    lost(one)
    other.check()
    assert table.writers == {other._id}
    clock.sleep(9)
    other.check()
    lost(one)


def test_who_slept_while_another_wrote_all_it_wanted(clock: Clock, table: Table, stack: ExitStack) -> None:
    def come_and_go() -> None:
        with writer(table).held():
            pass

    one = writer(table)
    stack.enter_context(one.held())
    table.before = come_and_go
    clock.sleep(9)
    lost(one)
    assert not table.rows


def test_a_beat_that_came_too_late_and_was_not_answered(clock: Clock, table: Table, stack: ExitStack) -> None:
    def no_answer() -> None:
        raise StoreUnavailable("no answer", hint="")

    one, other = writer(table), writer(table)
    stack.enter_context(one.held())
    table.before, table.behind = lambda: stack.enter_context(other.held()), no_answer
    clock.sleep(9)
    with pytest.raises(StoreUnavailable, match="no answer"):
        one.check()
    assert len(table.writers) == 2
    lost(one)
    other.check()


def test_who_slept_when_it_was_to_begin(clock: Clock, table: Table, stack: ExitStack) -> None:
    one, other = writer(table), writer(table)
    put = one._put

    def late(*, held: bool) -> None:
        if held:
            stack.enter_context(other.held())
        put(held=held)

    one._put = late  # type: ignore[method-assign]
    with pytest.raises(StoreUnavailable, match="silent for too long"), one.held():
        pass
    assert table.writers == {other._id}


def test_who_was_slow_and_alone_goes_on(clock: Clock, table: Table) -> None:
    one = writer(table)
    with one.held():
        for _ in range(3):
            table.before = lambda: clock.sleep(100)
            clock.sleep(9)
            one.check()
            assert len(table.rows) == 1
        one.check()  # what was sure before so long a beat is asked again
    assert not table.rows
