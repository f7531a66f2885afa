"""The three stages in one process: what Azure's triggers do, done by threads on one small computer.

Each thread does one thing over and over, rests a little when there is nothing to do, and ends when it is told to. An
error in one item is dealt with where it happens: its message goes back to the queue, or to the dead letters.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from shared.deliveries import SetAside, handle
from shared.documents import BACKFILLS
from shared.errors import HaroError, StorageError
from shared.house import House
from shared.ingest.backfill import BackfillReport
from shared.ingest.enqueue import PollReport
from shared.recording.outbox import Delivered
from shared.recording.record import Recorded
from shared.scoring.score import ScoredClip
from shared.storage.ports import Delivery, Message, MessageQueue

_CLEAN_EVERY_S = 600.0
_DELIVER_EVERY_S = 5.0
_REST_S = 0.5
_FIRST_RETRY_S = 5.0
_TRIES_BEFORE_REST = 3  # a backfill that failed so often in a row does not keep a run from ending; it stays open
_log = logging.getLogger(__name__)


Event = PollReport | BackfillReport | ScoredClip | Recorded | Delivered | SetAside


class Runner:
    """Runs a house's stages until stopped or, with `idle_s`, until no stream has brought anything for so long.

    `live=False` polls no stream and only works off backfills. `tell` hears of everything that happens, from any thread.
    """

    def __init__(
        self,
        house: House,
        *,
        tell: Callable[[Event], None],
        idle_s: float | None = None,
        live: bool = True,
    ) -> None:
        if house.storage.results is None:
            raise StorageError("this storage has no queue of results: its blob trigger starts recording, not a runner")
        self._house = house
        self._results = house.storage.results
        self._audience = tell
        self._idle_s = idle_s
        self._live = live
        self._stop = threading.Event()
        self._batches_bell = threading.Event()
        self._results_bell = threading.Event()
        self._progress: dict[str, datetime] = {}
        self._resting: dict[str, bool] = {}

    def stop(self) -> None:
        """Let every thread finish what it is doing, and end."""
        self._stop.set()
        self._batches_bell.set()
        self._results_bell.set()

    def _tell(self, event: Event) -> None:
        """Tell what happened; when nobody can be told any more, end as if stopped."""
        try:
            self._audience(event)
        except OSError as error:
            _log.warning("the output is closed (%s): ending", error)
            self.stop()

    def run(self) -> None:
        """Run until stopped or idle."""
        loops = (self._listen, self._backfill, self._score, self._record, self._deliver, self._clean)
        with ThreadPoolExecutor(len(loops), thread_name_prefix="haro") as pool:
            futures = [pool.submit(self._guarded, loop) for loop in loops]
            try:
                for future in futures:
                    future.result()
            finally:
                self.stop()
        if self._idle_s is not None:
            self._tell(self._house.deliver(hold_nothing_back=True))

    def _guarded(self, loop: Callable[[], None]) -> None:
        """Go on after a storage fault, which passes; end the process's work on a bug, which would not."""
        while not self._stop.is_set():
            try:
                loop()
            except HaroError as error:
                _log.error("%s, trying again: %s", loop.__name__.lstrip("_"), error)
                self._stop.wait(_FIRST_RETRY_S)
            except BaseException:
                self.stop()
                raise
            else:
                return

    def _listen(self) -> None:
        """Poll the streams at their interval. It is measured on a clock that nobody sets."""
        while self._live and not self._stop.is_set():
            next_poll = time.monotonic() + self._house.settings.poll_interval_s
            for report in self._house.poll():
                self._note(report)
                self._tell(report)
            self._batches_bell.set()
            self._stop.wait(max(0.0, next_poll - time.monotonic()))

    def _backfill(self) -> None:
        """Feed old audio whenever the queue has room, beside the polls, so that neither waits for the other."""
        while not self._stop.is_set():
            for step in self._house.backfill():
                self._tell(step)
                self._batches_bell.set()
            if self._idle_s is not None and self._is_idle():
                self.stop()
            self._stop.wait(_REST_S)

    def _score(self) -> None:
        """Score one batch after another."""
        while not self._stop.is_set():
            if not self._handle(self._house.storage.batches, self._score_one):
                self._batches_bell.wait(_REST_S)
                self._batches_bell.clear()

    def _score_one(self, delivery: Delivery) -> None:
        scored = self._house.score_message(delivery)
        # Sent before the batch is struck off: a crash here scores nothing twice, but would else lose the result.
        self._results.send([Message(id=scored.result_blob, body=scored.result_blob)])
        self._results_bell.set()
        self._tell(scored)

    def _record(self) -> None:
        """Record one result after another."""
        while not self._stop.is_set():
            if not self._handle(self._results, self._record_one):
                self._results_bell.wait(_REST_S)
                self._results_bell.clear()

    def _record_one(self, delivery: Delivery) -> None:
        self._tell(self._house.record(delivery.message.body))

    def _deliver(self) -> None:
        """Tell people what is due."""
        while not self._stop.is_set():
            self._tell(self._house.deliver())
            self._stop.wait(_DELIVER_EVERY_S)

    def _clean(self) -> None:
        """Forget what is too old, keep room on the disk, and set right what got lost."""
        while not self._stop.is_set():
            self._attempt("clean", self._house.clean)
            self._attempt("tend dead letters", self._house.tend_dead_letters)
            self._attempt("reconcile", self._house.reconcile)
            self._stop.wait(_CLEAN_EVERY_S)

    def _attempt(self, name: str, upkeep: Callable[[], object]) -> None:
        """Do one piece of upkeep: what fails is tried again next time, and costs neither the others nor listening."""
        try:
            upkeep()
        except HaroError as error:
            _log.error("%s, trying again in %.0f min: %s", name, _CLEAN_EVERY_S / 60, error)
        except Exception:  # noqa: BLE001 - a bug met in upkeep must not stop what people rely on
            _log.exception("a bug, met in upkeep (%s)", name)

    def _handle(self, queue: MessageQueue, work: Callable[[Delivery], None]) -> bool:
        """Take one message through `work`; whatever happens to it, the next one gets its turn."""
        delivery = queue.receive()
        if delivery is None:
            return False
        set_aside = handle(delivery, work, settle=queue, max_deliveries=self._house.settings.max_deliveries)
        if set_aside is not None:
            self._tell(set_aside)
        return True

    def _note(self, report: PollReport) -> None:
        """Remember whether the hydrophone still brings something."""
        name, now = report.hydrophone_id, self._house.now()
        if report.state == "listening" or report.batches:
            self._progress[name] = now
        quiet_s = (now - self._progress.setdefault(name, now)).total_seconds()
        at_rest = report.state in {"stalled", "ended"}
        self._resting[name] = at_rest or (report.state != "listening" and quiet_s >= (self._idle_s or 0.0))

    def _is_idle(self) -> bool:
        storage = self._house.storage
        if self._live and not (self._resting and all(self._resting.values())):
            return False
        names = {hydrophone.id for hydrophone in self._house.hydrophones}
        for stored in storage.documents.query(BACKFILLS, where={"state": "open"}):
            if stored.body["hydrophone_id"] in names and stored.body["tries"] < _TRIES_BEFORE_REST:
                return False
        return all(queue.stats().active == 0 for queue in storage.queues.values())
