"""What `--max-cost` lets a run on a cluster begin, on hands that only say what they spent."""

from __future__ import annotations

import random
from collections import Counter
from itertools import count
from pathlib import Path
from typing import Any, cast

import pytest

from footage.catalog import Catalog, Job
from footage.cluster import ClusterSettings
from footage.cluster.crew import Answered, Died, Event, Mate
from footage.cluster.orders import Answer, Identified, Order, Report, Surveyed
from footage.cluster.run import Allowance, Run
from footage.errors import CostLimit
from footage.ingest import Encoded, IngestSettings, Loaded, Picture, Progress
from footage.ingest.loading import look
from footage.types import Video

COST = 10.0  # core-seconds that a file is estimated at
STEPS = 5  # answers in which a file comes


class Hands:
    """Two hands of two slots each; a file is an answer a step, and costs the same at each."""

    def __init__(self, each: float, deaths: int = 0) -> None:
        self.each, self.cpu, self.deaths = each, 0.0, deaths
        self.mates = [Mate("node", None, 2, place, ready=True) for place in range(2)]
        self._streams, self._steps, self._random = count(), Counter[int](), random.Random(1)

    @property
    def spent(self) -> Report:
        return Report(self.cpu)

    def lives(self, _: Mate) -> bool:
        return True

    def give(self, mate: Mate, order: Order, *, alone: bool = False) -> None:
        mate.alone = alone
        mate.orders[next(self._streams)] = order

    def events(self, _: float) -> list[Event]:
        at_work = [(mate, stream) for mate in self.mates for stream in mate.orders]
        if not at_work:
            return []
        mate, stream = self._random.choice(at_work)
        order = mate.orders[stream]
        self._steps[stream] += 1
        if self.deaths and order.what == "load" and self._steps[stream] == 3:
            self.deaths -= 1
            died = Died(list(mate.orders.values()), mate.alone, machine=False)
            mate.orders, mate.alone = {}, False
            return [died]
        item, last = self.answer(order, self._steps[stream])
        if last:
            del mate.orders[stream]
            mate.alone = False
        answer = Answer([item], self.spent, last)
        return [Answered(mate, order, answer, lambda: answer)]

    def answer(self, order: Order, step: int) -> tuple[Any, bool]:
        if order.what == "survey":
            return Surveyed(order.job, 100.0, COST), True
        if order.what == "identify":
            return Identified(order.job, order.job.file.path), True
        self.cpu += self.each / STEPS
        if step == STEPS:
            return Loaded(order.job, cast("Video", None), STEPS - 1), True
        at = 100.0 * step / STEPS
        return Encoded([Picture(order.job, order.video_id, at, at, at, (), b"")], {}), False


def indexed(tmp_path: Path, limit: float, hands: Hands) -> int:
    """Ten files; gives how many of them were brought to their end."""
    jobs: list[Job] = []
    for number in range(10):
        (tmp_path / f"{number}.mp4").touch()
        jobs.append(Job(look(str(tmp_path / f"{number}.mp4")), named=True))
    run = Run(cast("Any", hands), jobs, Catalog([]), IngestSettings(), Progress(), ClusterSettings(), Allowance(limit))
    done = 0
    try:
        for item in run.items():
            done += isinstance(item, Loaded)
    except CostLimit as error:
        error.add_note(str(done))
        raise
    return done


@pytest.mark.parametrize("limit", [100.5, 101, 110, 1000])
def test_what_fits_is_finished(tmp_path: Path, limit: float) -> None:
    assert indexed(tmp_path, limit, Hands(COST)) == 10


def test_what_turns_out_to_cost_less_is_finished(tmp_path: Path) -> None:
    assert indexed(tmp_path, 101, Hands(COST / 5)) == 10


def test_what_a_death_cost_is_spent(tmp_path: Path) -> None:
    assert indexed(tmp_path, 125, Hands(COST, deaths=2)) == 10


def test_what_does_not_fit_is_not_begun(tmp_path: Path) -> None:
    with pytest.raises(CostLimit, match=r"estimated at 0\.0278 core-hours, the limit is 0\.0153"):
        indexed(tmp_path, 55, Hands(COST))


def test_what_turns_out_to_cost_more_stops_between_two_files(tmp_path: Path) -> None:
    with pytest.raises(CostLimit, match=r"stopped at the limit of cost: 1 file is left, 0\.0275 core-hours") as stopped:
        indexed(tmp_path, 100, Hands(1.1 * COST))
    assert stopped.value.__notes__ == ["9"] and "goes on" in stopped.value.hint
