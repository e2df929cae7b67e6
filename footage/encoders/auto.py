"""The model `auto`: the recommended one if it can be had here, else the starter; settled in seconds, and told why."""

from __future__ import annotations

import queue
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from footage.encoders import hub as hub_module
from footage.encoders import weights
from footage.encoders.rows import RECOMMENDED, ROWS, STARTER
from footage.errors import FootageError

if TYPE_CHECKING:
    from pathlib import Path

    from footage.encoders.hub import Hub, Listing
    from footage.encoders.row import EncoderRow
    from footage.encoders.weights import Progress

PATIENCE = 3.0  # seconds for the hub to answer, names and handshakes included


def choose_auto(
    cache_dir: Path | None,
    *,
    hub: Hub | None = None,
    patience: float = PATIENCE,
    on_progress: Progress = lambda _: None,
) -> tuple[EncoderRow, str]:
    """The row for a new library and why; the recommended model is fetched if the hub answers in time.

    Raises:
        EncoderUnavailable: the hub answered, but the download failed; it goes on where it was when tried again.
    """
    row = ROWS[RECOMMENDED]
    try:
        hub = hub or hub_module.from_environment()
        if weights.is_here(row, cache_dir, hub=hub):
            return row, "recommended, and its weights are here"
        if hub.offline:
            return STARTER, f"{RECOMMENDED} is not here, and HF_HUB_OFFLINE is set"
        answer = _answer(hub, row, patience)
    except FootageError as error:
        return STARTER, f"{RECOMMENDED} is not here: {error.message}"
    if answer is None:
        return STARTER, f"{RECOMMENDED} is not here, and {hub.endpoint} did not answer in {patience:.0f} s"
    weights.pull(row, cache_dir=cache_dir, hub=hub, on_progress=on_progress)
    return row, f"recommended, and fetched from {hub.endpoint}"


def _answer(hub: Hub, row: EncoderRow, patience: float) -> Listing | None:
    """Ask the hub for the model, in a thread of its own: looking up a name cannot be given a time limit."""
    answers: queue.Queue[Listing | FootageError] = queue.Queue()
    repo, revision = (row.weights.repo, row.weights.revision) if row.weights else ("", None)

    def ask() -> None:
        try:
            answers.put(hub_module.listing(replace(hub, timeout=patience), repo, revision))
        except FootageError as error:
            answers.put(error)

    threading.Thread(target=ask, name="auto", daemon=True).start()
    try:
        answer = answers.get(timeout=patience)
    except queue.Empty:
        return None
    if isinstance(answer, FootageError):
        raise answer
    return answer
