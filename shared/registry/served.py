"""The model that is to score the next clip: the one in production, or the last good one."""

from __future__ import annotations

import functools
import logging
import math
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import BinaryIO

from shared.documents import BUNDLED, KnownModel, ModelRef
from shared.errors import HaroError, ModelError
from shared.registry.registry import Registry
from shared.scoring.detector import Detector
from shared.telemetry import metrics

_log = logging.getLogger(__name__)


class ServedModel:
    """Gives the detector for the next clip, and looks now and then whether another one was promoted.

    Whoever asks when it is time looks, and waits for the new model; others who ask meanwhile get the one there was. A
    model that cannot be had or must not be used changes nothing: the last good one goes on, which at the start of a
    process is the bundled one, and `problem` says why. A file that was refused is tried again when the pointer was
    written anew, and by a new process.

    Args:
        bundled: Loads the model of the settings, or the one that comes with Haro. Raises ModelError.
        registry: Where models are promoted; None where only the bundled one is used.
        admit: Makes a detector of the file that it has fetched and tried out. Raises ModelError.
        pinned: Use this version, whatever is in production.
        look_every_s: The least time between two looks at the registry.
        clock: Seconds, on a clock that nobody sets.
    """

    def __init__(
        self,
        bundled: Callable[[], Detector],
        registry: Registry | None,
        admit: Callable[[Callable[[BinaryIO], None], ModelRef], Detector],
        *,
        pinned: ModelRef | None = None,
        look_every_s: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bundled = functools.cache(bundled)
        self._registry = registry
        self._admit = admit
        self._pinned = pinned
        self._look_every_s = look_every_s
        self._clock = clock
        self._lock = threading.Lock()
        self._detector: Detector | None = None
        self._serving: KnownModel | None = None
        self._wanted: KnownModel | None = None
        self._refused: tuple[KnownModel | None, str] = (None, "")
        self._etag: str | None = None
        self._look_at = -math.inf
        self.problem = ""

    def __call__(self) -> Detector:
        """The detector for the next clip. Raises ModelError when there is none at all."""
        detector = self._detector
        if detector is None:
            self._lock.acquire()
        elif self._clock() < self._look_at or not self._lock.acquire(blocking=False):
            return detector
        try:
            if self._clock() >= self._look_at:
                self._look_at = self._clock() + self._look_every_s
                self._look()
            self._detector = self._detector or self._bundled()
            return self._detector
        finally:
            self._lock.release()

    def instead_of(self, failed: Detector) -> Detector | None:
        """The detector to try with what `failed` could not score; None where there is no other. Raises ModelError."""
        bundled = self._bundled()
        return None if failed is bundled else bundled

    def refuse(self, failed: Detector, reason: str) -> None:
        """Let the bundled model score from now on in place of one that failed with sound another can score."""
        with self._lock:
            if self._detector is failed:
                self._refused = (self._serving, reason)
                self._detector, self._serving = self._bundled(), None
                self._tell(reason)

    def _look(self) -> None:
        """Take up what is wanted, if it is another than serves; whatever is wrong is told, and the last one goes on."""
        if self._registry is None:
            return
        try:
            self._wanted = self._read_wanted(self._registry)
            if self._wanted == self._serving:
                self.problem = ""
            elif self._wanted is not None and self._wanted == self._refused[0]:
                self._tell(self._refused[1])
            else:
                self._swap(self._registry, self._wanted)
        except HaroError as error:
            self._tell(str(error))
        except Exception as error:  # noqa: BLE001 - a bug met with one model must not stop the scoring
            _log.exception("a bug, met with the model that is wanted")
            self._tell(f"{type(error).__name__}: {error}")

    def _tell(self, reason: str) -> None:
        metrics.model_failed()
        problem = f"not the model that is wanted scores, but {self._serving or BUNDLED}: {reason}"
        if problem != self.problem:
            _log.error("%s", problem)
        self.problem = problem

    def _read_wanted(self, registry: Registry) -> KnownModel | None:
        if self._pinned is None:
            pointer = registry.pointer_if_changed(self._etag)
            if pointer is None:
                return self._wanted
            self._etag, self._refused = pointer.etag, (None, "")
            return pointer.says.model if pointer.says else None
        if str(self._pinned) == self._bundled().metadata.model_version:
            return None
        return self._wanted or registry.entry(self._pinned).known

    def _swap(self, registry: Registry, model: KnownModel | None) -> None:
        try:
            detector = self._bundled() if model is None else self._admit(partial(registry.fetch, model), model)
        except ModelError as error:
            self._refused = (model, str(error))
            raise
        _log.info("model %s scores from now on", detector.metadata.model_version)
        self._detector, self._serving, self.problem = detector, model, ""
