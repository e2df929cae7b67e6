"""One run over many hands: what is given out when, what is done again, and when it ends."""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING

from footage.catalog import Catalog, Job, Refused
from footage.cluster.crew import Answered, Crew, Died, Event, Mate
from footage.cluster.orders import Identified, Order, Surveyed
from footage.cluster.split import Gone, Split, parts_of
from footage.errors import CorruptMedia, CostLimit, MediaError, MediaNotFound
from footage.ingest import AtWork, Encoded, Idle, IngestSettings, Item, Known, Loaded, Lost, Progress
from footage.places import is_url, look
from footage.types import Failure

if TYPE_CHECKING:
    from footage.cluster import ClusterSettings

_POLL = 0.2  # seconds
_TRIES = 2  # deaths of a process over one file, the second one alone with it


@dataclass(slots=True)
class Allowance:
    """What runs may cost together, in core-seconds, and what they were estimated to."""

    limit: float | None = None
    estimated: float = 0.0


class Run:
    """Gives the files out, the costly ones first, and turns answers into what the writer takes."""

    def __init__(
        self,
        crew: Crew,
        jobs: list[Job],
        catalog: Catalog,
        ingest: IngestSettings,
        progress: Progress,
        settings: ClusterSettings,
        allowance: Allowance,
    ) -> None:
        self._crew, self._catalog, self._ingest, self._progress = crew, catalog, ingest, progress
        self._settings, self._allowance = settings, allowance
        self._surveys = deque(Order("survey", job) for job in jobs)
        self._surveying = len(jobs)
        self._numbers = count()
        self._queue: list[tuple[float, int, Surveyed]] = []  # the costliest first
        self._orders: deque[Order] = deque()  # of videos that are begun
        self._suspects: deque[Order] = deque()  # that were at work when a process died: they go alone
        self._deaths: Counter[str] = Counter()
        self._known: dict[str, Surveyed] = {}  # path -> what is known of a video that is begun
        self._splits: dict[str, Split] = {}
        self._sent: set[str] = set()  # videos of which the writer has something that is not complete
        self._refused: set[str] = set()  # paths
        self._limited = False

    def items(self) -> Iterator[Encoded | Item]:
        """Do it all; yields what the writer takes.

        Raises:
            CostLimit: it would cost, or has cost, more than is allowed.
            ClusterUnavailable: there is no hand.
        """
        while self._surveying:
            yield from self._step()
            if self._progress.cancelled.is_set() or self._progress.draining.is_set():
                return  # nothing is begun yet
        self._check_estimate()
        while self._orders or self._suspects or self._at_work or (self._queue and self._open):
            yield from self._step()
            self._check_spent()
            if self._progress.cancelled.is_set():
                return
        if self._limited and self._queue:
            raise CostLimit(
                f"stopped at the limit of cost: {_files(len(self._queue))} left, "
                f"{self._crew.spent.cpu / 3600:.3g} core-hours were spent",
                hint="what was finished is kept; the same command with a higher --max-cost goes on",
            )

    def _step(self) -> Iterator[Encoded | Item]:
        if not self._progress.paused.is_set():
            for mate in self._crew.mates:
                self._fill(mate)
        events = self._crew.events(_POLL)
        for event in events:
            yield from self._event(event)
        if not events:
            yield Idle()
        self._show()

    @property
    def _at_work(self) -> bool:
        return any(mate.orders for mate in self._crew.mates)

    @property
    def _open(self) -> bool:
        """Whether another video may be begun."""
        return not self._limited and not self._progress.draining.is_set()

    # ---------------------------------------------------------------------------------------------------- giving out

    def _fill(self, mate: Mate) -> None:
        while mate.free:
            if self._suspects and not mate.orders:
                if not self._crew.lives(mate):
                    return  # else a file would be blamed for a death that came before it
                self._crew.give(mate, self._suspects.popleft(), alone=True)
                return
            order = self._next()
            if order is None:
                return
            self._crew.give(mate, order)

    def _next(self) -> Order | None:
        if self._surveys:
            return self._surveys.popleft()
        if self._orders:
            return self._orders.popleft()
        if self._surveying or not self._queue or not self._open:
            return None
        found = self._queue[0][2]
        limit = self._allowance.limit
        if limit is not None and self._crew.spent.cpu + self._committed() + found.cost > limit:
            self._limited = not (self._at_work or self._suspects)  # else they may turn out to cost less
            return None
        heapq.heappop(self._queue)
        self._known[found.job.file.path] = found
        return Order("identify", found.job, cost=found.cost)

    def _committed(self) -> float:
        """What the videos that are begun will still cost: what was told of them is in what is spent already."""
        return sum(found.cost * (1 - self._share(path)) for path, found in self._known.items())

    def _share(self, path: str) -> float:
        return self._progress.current.get(path, AtWork()).share

    def _check_estimate(self) -> None:
        limit, spent = self._allowance.limit, self._crew.spent.cpu
        total = sum(found.cost for _, _, found in self._queue)
        self._allowance.estimated += total
        if limit is not None and spent + total > limit:
            raise CostLimit(
                f"the run is estimated at {(spent + total) / 3600:.3g} core-hours, the limit is {limit / 3600:.3g}",
                hint="raise --max-cost, or index fewer files; nothing was decoded",
            )

    def _check_spent(self) -> None:
        limit, spent = self._allowance.limit, self._crew.spent.cpu
        if limit is not None and spent > limit:
            raise CostLimit(
                f"stopped: {spent / 3600:.3g} core-hours were spent, the limit is {limit / 3600:.3g}",
                hint="the estimate was too low here; what was finished is kept",
            )

    # ------------------------------------------------------------------------------------------------------- answers

    def _event(self, event: Event) -> Iterator[Encoded | Item]:
        if isinstance(event, Died):
            yield from self._died(event)
        else:
            yield from self._answered(event)
            if event.answer.last:
                yield from self._finished(event.order)

    def _finished(self, order: Order) -> Iterator[Encoded | Item]:
        if order.what == "survey":
            self._surveying -= 1
        elif order.what == "load":
            self._sent.discard(order.video_id)
            self._end(order.job.file.path)
        elif (split := self._splits.get(order.video_id)) is not None:
            if order.what == "part":
                split.finish(order.number)
            if split.done:
                yield from self._settle(split)

    def _answered(self, event: Answered) -> Iterator[Encoded | Item]:
        order, path = event.order, event.order.job.file.path
        if path in self._refused:
            return
        for item in event.answer.items:
            if isinstance(item, Surveyed):
                heapq.heappush(self._queue, (-item.cost, next(self._numbers), item))
            elif isinstance(item, Refused):
                yield from self._refuse(self._explained(item))
                return
            elif isinstance(item, Identified):
                yield from self._identified(item)
            elif order.what == "load":
                yield from self._loaded(order, item)
        split = self._splits.get(order.video_id)
        if split is not None and order.what in ("part", "sound"):
            split.take(order, event.answer, event.again)

    def _identified(self, item: Identified) -> Iterator[Item]:
        job, path = item.job, item.job.file.path
        found = self._known[path]
        if not self._catalog.claim(item.video_id, path, self._ingest.sampling):
            self._end(path)
            yield Known(job, item.video_id)
            return
        parts = parts_of(found, self._settings.part_cost)
        if len(parts) == 1:
            self._orders.appendleft(Order("load", job, item.video_id, cost=found.cost))
            return
        split = Split.of(job, item.video_id, parts, found.cost, self._ingest.sampling)
        self._splits[item.video_id] = split
        self._orders.extendleft(reversed(split.orders()))

    def _loaded(self, order: Order, item: Encoded | Loaded) -> Iterator[Encoded | Item]:
        path = order.job.file.path
        self._sent.add(order.video_id)
        if isinstance(item, Encoded):
            seconds = self._known[path].seconds if path in self._known else 0.0
            self._progress.current[path] = AtWork(item.pieces[-1].at, seconds, order.job.file.size_bytes)
        yield item

    def _settle(self, split: Split) -> Iterator[Encoded | Item]:
        """Put a video together, or have done again what is needed for it."""
        joins = split.joined()
        again = [order for order in joins if isinstance(order, Order)]
        if again:
            if again[0].what == "load":
                del self._splits[split.video_id]
            self._orders.extendleft(again)
            return
        try:
            self._sent.add(split.video_id)
            yield from split.items([joint for joint in joins if not isinstance(joint, Order)])
        except Gone as error:
            yield from self._void(split.video_id)
            self._orders.appendleft(split.void(error.args[0]))
            return
        self._sent.discard(split.video_id)
        del self._splits[split.video_id]
        self._end(split.job.file.path)

    # ------------------------------------------------------------------------------------------------------ failures

    def _died(self, event: Died) -> Iterator[Item]:
        if not event.machine:
            self._deaths.update({order.job.file.path for order in event.orders})
        for each in event.orders:
            path = each.job.file.path
            if path in self._refused:
                continue
            yield from self._void(each.video_id)
            self._progress.current.pop(path, None)
            split = self._splits.get(each.video_id)
            order = split.void(each.number) if split is not None and each.what == "part" else each
            if event.machine:
                self._give_back(order)
            elif self._deaths[path] >= _TRIES and event.alone:
                yield from self._poisonous(order)
            else:
                self._suspects.append(order)

    def _give_back(self, order: Order) -> None:
        (self._surveys if order.what == "survey" else self._orders).appendleft(order)

    def _poisonous(self, order: Order) -> Iterator[Item]:
        path = order.job.file.path
        if order.what == "survey":
            self._surveying -= 1
        error = CorruptMedia(
            f"the process that read it ended, {_TRIES} times: {path}",
            uri=path,
            hint="the file makes a decoder crash, or takes more memory than there is; it is tried again the next time",
        )
        yield from self._refuse(Refused(order.job, Failure(path, error), order.video_id))

    def _refuse(self, item: Refused) -> Iterator[Item]:
        path = item.job.file.path
        video_id = next((v for v, s in self._splits.items() if s.job.file.path == path), item.video_id)
        self._splits.pop(video_id, None)
        self._refused.add(path)
        self._sent.discard(video_id)
        self._orders = deque(order for order in self._orders if order.job.file.path != path)
        self._suspects = deque(order for order in self._suspects if order.job.file.path != path)
        if not item.video_id and self._catalog.claimed(path):
            self._catalog.release(self._catalog.claimed(path))
        self._end(path)
        yield item

    def _explained(self, item: Refused) -> Refused:
        """A file that only the other machine does not see is the fault of neither."""
        error, path = item.failure.error, item.job.file.path
        if not isinstance(error, MediaNotFound) or not _is_readable(path):
            return item
        hint = "a file must have the same path on every machine"
        if is_url(path):
            hint = "every machine of the cluster wants its own credentials: nothing of them is sent"
        better = MediaNotFound(f"not to be read on another machine of the cluster: {path}", uri=path, hint=hint)
        return replace(item, failure=Failure(path, better))

    def _void(self, video_id: str) -> Iterator[Item]:
        if video_id in self._sent:
            self._sent.discard(video_id)
            yield Lost(video_id)

    def _end(self, path: str) -> None:
        self._known.pop(path, None)

    # ------------------------------------------------------------------------------------------------------ progress

    def _show(self) -> None:
        spent, slots = self._crew.spent, sum(mate.slots for mate in self._crew.mates)
        self._progress.load.seconds, self._progress.load.workers = spent.load, max(1, slots)
        self._progress.encode.seconds = spent.encode
        self._progress.encode.workers = max(1, len(self._crew.mates))
        for split in self._splits.values():
            file = split.job.file
            self._progress.current[file.path] = AtWork(*split.reached, file.size_bytes)


def _is_readable(path: str) -> bool:
    try:
        look(path)
    except MediaError:
        return False
    return True


def _files(count: int) -> str:
    return "1 file is" if count == 1 else f"{count} files are"
