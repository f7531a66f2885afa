"""Whether the parts of a house are in order: what was found, and what to do about it when it is not."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from shared.documents import (
    BLOB_CONTAINERS,
    CLIPS,
    CONTAINERS,
    CURSORS,
    SENT,
    ClipRecord,
    SentBatch,
    result_blob_name,
)
from shared.errors import HaroError, SettingsError, StreamError, StreamNotFound
from shared.house import House
from shared.hydrophones import Hydrophone

_SILENT_AFTER_S = 180.0
_DEAF_AFTER_S = 900.0
_CLIPS_LOOKED_AT = 30
_SOUND_S = 1.0  # less of a clip than this is what rounding leaves of gaps


@dataclass(frozen=True)
class Finding:
    """One thing looked at."""

    what: str
    ok: bool
    found: str
    to_do: str = ""


class Readiness:
    """Which parts of a house are in order, looked at once in `good_for_s` however often it is asked.

    For whoever may ask as often as they like: each look costs an inference and a request to each store.
    """

    def __init__(
        self, house: Callable[[], House], *, good_for_s: float = 30.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._house = house
        self._good_for_s = good_for_s
        self._clock = clock
        self._seen_at = -math.inf
        self._checks: dict[str, bool] = {}

    def __call__(self) -> dict[str, bool]:
        """Each part by name, and whether it is in order."""
        if self._clock() - self._seen_at >= self._good_for_s:
            self._checks, self._seen_at = self._look(), self._clock()
        return self._checks

    def _look(self) -> dict[str, bool]:
        try:
            house = self._house()
        except SettingsError:
            return {"settings": False}
        except HaroError:
            return {"settings": True, "storage": False}
        findings = (check_model(house), check_channels(house), *check_storage(house))
        return {"settings": True} | {one.what: one.ok for one in findings}


def check_model(house: House) -> Finding:
    """Let the model score something; one that is not the model wanted is told too, though it scores."""
    try:
        detector = house.detector
        silence = detector.try_out()
    except HaroError as error:
        to_do = "unset HARO_MODEL, or name a model made for Haro; `haro models rollback` where one was promoted"
        return Finding("model", ok=False, found=str(error), to_do=to_do)
    if house.model_problem:
        to_do = "`haro models` shows, promotes and rolls back"
        return Finding("model", ok=False, found=house.model_problem, to_do=to_do)
    return Finding("model", ok=True, found=f"{detector.metadata.model_version}, silence scores {silence:.2f}")


def check_storage(house: House) -> list[Finding]:
    """Ask queue, blobs and documents for something small each."""
    storage = house.storage
    questions: dict[str, Callable[[], str]] = {
        "queue": lambda: "batches wait" if storage.batches.stats(at_most=1).active else "no batch waits",
        "blobs": lambda: "answer" if storage.blobs.exists(result_blob_name("none/0/0-0")) else "answer, as expected",
        "documents": lambda: "answer" if storage.documents.get(CURSORS, "none", "none") else "answer, as expected",
    }
    findings = []
    for what, ask in questions.items():
        try:
            findings.append(Finding(what, ok=True, found=ask()))
        except HaroError as error:
            to_do = "see the message; docs/deploy.md names the roles an identity needs"
            findings.append(Finding(what, ok=False, found=str(error), to_do=to_do))
    return findings


def check_dead_letters(house: House) -> Finding:
    """Count what could not be processed."""
    dead = sum(queue.stats().dead for queue in house.storage.queues.values())
    to_do = "`haro dead-letters` says why; `haro dead-letters --replay` tries again" if dead else ""
    return Finding("dead letters", ok=not dead, found=str(dead), to_do=to_do)


def check_channels(house: House) -> Finding:
    """See whether everybody who is to be told could be."""
    try:
        house.check_channels()
    except SettingsError as error:
        to_do = "correct its URL; docs/settings.md names the settings of channels"
        return Finding("notifications", ok=False, found=str(error), to_do=to_do)
    told = ", ".join(sorted({channel.audience for channel in house.channels}))
    found = f"{len(house.channels)} channels: {told}" if told else "nobody is told: HARO_MODERATOR_CHANNELS is not set"
    return Finding("notifications", ok=True, found=found)


def check_containers(house: House) -> list[Finding]:
    """Read something from every container of documents and of blobs: they exist, and may be read."""

    def look(what: str, ask: Callable[[], object], to_do: str) -> Finding:
        try:
            ask()
        except HaroError as error:
            return Finding(what, ok=False, found=str(error), to_do=to_do)
        return Finding(what, ok=True, found="there")

    storage = house.storage
    to_do = "`azd provision` makes it; docs/deploy.md names the roles that reading needs"
    return [
        *(
            look(f"documents {container.name}", partial(storage.documents.query, container, limit=1), to_do)
            for container in CONTAINERS
        ),
        *(
            look(f"blobs {name}", partial(next, storage.blobs.list(f"{name}/"), None), to_do)
            for name in BLOB_CONTAINERS
        ),
    ]


def check_hearing(house: House, hydrophone: Hydrophone) -> Finding | None:
    """See whether what the hydrophone publishes is scored: a stream that is heard of and not scored is deafness.

    None where the stream cannot be read, so that nobody knows (`check_stream` tells why).
    """
    what = f"hearing {hydrophone.id}"
    try:
        playlist = house.streams.playlist(hydrophone, house.streams.latest_epoch(hydrophone))
        scored_utc = _scored_until(house, hydrophone)
        if scored_utc is None:
            return _not_heard_yet(house, hydrophone, what)
    except StreamError:
        return None
    except HaroError as error:
        return Finding(what, ok=False, found=str(error), to_do="see the message")
    found = f"scored up to {scored_utc:%Y-%m-%d %H:%M:%S} UTC"
    published = playlist.segments[-1].end_utc if playlist.segments else scored_utc
    deaf = (published - scored_utc).total_seconds() > _DEAF_AFTER_S
    to_do = (
        f"published up to {published:%H:%M:%S}: is Haro running? `haro dead-letters` may tell; where segments cannot "
        "be fetched or read, ask who keeps the node"
    )
    return Finding(what, ok=not deaf, found=found, to_do=to_do if deaf else "")


def _scored_until(house: House, hydrophone: Hydrophone) -> datetime | None:
    """The end of the newest clip with any sound in it, of the last ones; where all are empty, the start of these."""
    newest = house.storage.documents.query(
        CLIPS, partition=hydrophone.id, order_by="start_utc", descending=True, limit=_CLIPS_LOOKED_AT
    )
    clips = [ClipRecord.model_validate(stored.body) for stored in newest]
    heard = (clip.end_utc for clip in clips if (clip.end_utc - clip.start_utc).total_seconds() - clip.gap_s > _SOUND_S)
    return next(heard, clips[-1].start_utc if clips else None)


def _not_heard_yet(house: House, hydrophone: Hydrophone, what: str) -> Finding:
    """There is no record of any clip: the app may be new, or not listen, or what it sends may get nowhere."""
    documents = house.storage.documents
    on_their_way = documents.query(SENT, partition=hydrophone.id, order_by="sent_utc", limit=1)
    if on_their_way:
        age_s = (house.now() - SentBatch.model_validate(on_their_way[0].body).sent_utc).total_seconds()
        late = age_s > _DEAF_AFTER_S
        to_do = "`haro dead-letters` may tell; in Azure, `azd hooks run postdeploy` lets new results call the app"
        found = f"sent {age_s:.0f} s ago, nothing recorded yet"
        return Finding(what, ok=not late, found=found, to_do=to_do if late else "")
    if house.settings.storage == "azure" and documents.get(CURSORS, hydrophone.id, hydrophone.id) is None:
        to_do = "ask again a minute after the app was deployed; else look at its log: the function enqueue does not run"
        return Finding(what, ok=False, found="never polled", to_do=to_do)
    return Finding(what, ok=True, found="nothing was scored yet")


def check_stream(house: House, hydrophone: Hydrophone) -> Finding:
    """Read one hydrophone's playlist, as a poll would."""
    what = f"stream {hydrophone.id}"
    try:
        epoch = house.streams.latest_epoch(hydrophone)
        playlist = house.streams.playlist(hydrophone, epoch)
    except StreamNotFound as error:
        to_do = "the node has not published, or the address in the list of hydrophones is wrong"
        return Finding(what, ok=False, found=str(error), to_do=to_do)
    except StreamError as error:
        return Finding(what, ok=False, found=str(error), to_do="check network and address; Haro keeps trying")
    if not playlist.segments:
        return Finding(what, ok=True, found=f"folder {epoch} has no segment yet")
    newest = playlist.segments[-1].end_utc
    behind_s = (house.now() - newest).total_seconds()
    found = f"newest audio {newest:%Y-%m-%d %H:%M:%S} UTC, {behind_s:.0f} s ago"
    silent = behind_s > _SILENT_AFTER_S
    to_do = "the node is silent: ask who keeps it (Haro listens on and needs nothing)" if silent else ""
    return Finding(what, ok=not silent, found=found, to_do=to_do)
