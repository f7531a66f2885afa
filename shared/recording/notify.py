"""Who is told what, when and how often. Pure: entries of the outbox in, decisions out.

Moderators are told every detection. Those of one bout come together: the first at once, further ones at most every few
minutes. Only a backfill of past audio, older than a day, pages nobody. Subscribers are told of confirmed detections
alone: per hydrophone one message in a quarter of an hour, by the clock of sending and by that of the sea, and nothing
older than a day. Orcasite gets every confirmed detection, one by one. What is not told is kept as `suppressed`, with
the reason.

A bout is not stored but seen: consecutive detections on one hydrophone with less than `bout_gap_s` between their
starts. It depends on the set of detections alone, not on the order in which they came, so that replays, crashes and a
backfill beside the live stream all give the same bouts.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from shared.documents import Audience, OutboxEntry
from shared.recording.detections import utc_seconds

_NOTICE_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://github.com/orcasound/haro/notice")


@dataclass(frozen=True)
class NoticePolicy:
    """How often people are told, and how long delivery is tried. All in seconds.

    A failed delivery is tried again after `first_retry_s`, then twice as long each time up to `longest_retry_s`; it is
    given up after `max_attempts`, or at the first failure later than `give_up_after_s`. `lease_s` is how long a sender
    that died keeps others from its channel; it must exceed the longest time one message takes to send.
    """

    bout_gap_s: float = 900.0
    moderators_every_s: float = 300.0
    subscribers_every_s: float = 900.0
    max_age_s: float = 86400.0
    first_retry_s: float = 30.0
    longest_retry_s: float = 3600.0
    max_attempts: int = 20
    give_up_after_s: float = 86400.0
    lease_s: float = 90.0

    def spacing(self, audience: Audience) -> timedelta:
        """The least time between two messages about the same bout (moderators) or hydrophone (subscribers)."""
        every_s = {"moderators": self.moderators_every_s, "subscribers": self.subscribers_every_s, "orcasite": 0.0}
        return timedelta(seconds=every_s[audience])

    def retry_after(self, attempts: int) -> timedelta:
        """How long to wait after the given number of failed attempts, at least one."""
        return timedelta(seconds=min(self.longest_retry_s, self.first_retry_s * 2.0 ** min(attempts - 1, 30)))

    def gives_up(self, entry: OutboxEntry, now: datetime) -> bool:
        """Whether an entry that has just failed is not tried again."""
        return entry.attempts >= self.max_attempts or now - entry.created_utc > timedelta(seconds=self.give_up_after_s)


@dataclass(frozen=True)
class Due:
    """Entries to be told together now, in the message `notice_id`; `bout_size` counts the bout's detections so far.

    Where the message was begun before, `held_back` are the entries that wait beside it for the next one.
    """

    notice_id: str
    entries: tuple[OutboxEntry, ...]
    held_back: tuple[OutboxEntry, ...]
    bout_id: str
    bout_start_utc: datetime
    bout_size: int


def bouts(entries: Iterable[OutboxEntry], *, gap_s: float) -> list[tuple[OutboxEntry, ...]]:
    """Split entries into bouts, each in order of time: consecutive ones on one hydrophone, less than `gap_s` apart."""
    ordered = sorted(entries, key=lambda entry: (entry.hydrophone_id, entry.detection_utc, entry.id))
    found: list[list[OutboxEntry]] = [ordered[:1]] if ordered else []
    for before, after in pairwise(ordered):
        same_stream = before.hydrophone_id == after.hydrophone_id
        if same_stream and (after.detection_utc - before.detection_utc).total_seconds() < gap_s:
            found[-1].append(after)
        else:
            found.append([after])
    return [tuple(bout) for bout in found]


def bout_id(bout: Sequence[OutboxEntry]) -> str:
    """A bout is named after its hydrophone and the start of its first detection."""
    return f"{bout[0].hydrophone_id}:{utc_seconds(bout[0].detection_utc)}"


def suppressed_from_the_start(
    audience: Audience, *, origin: str, detection_utc: datetime, now: datetime, policy: NoticePolicy
) -> str:
    """Why a detection is not told to this audience at all, or an empty string."""
    if now - detection_utc <= timedelta(seconds=policy.max_age_s):
        return ""
    if audience == "subscribers":
        return "older than subscribers are told of"
    if audience == "moderators" and origin == "backfill":
        return "a backfill of past audio pages nobody"
    return ""


def suppressed_by_now(entry: OutboxEntry, told: Iterable[OutboxEntry], *, now: datetime, policy: NoticePolicy) -> str:
    """Why an entry that waits is no longer worth a message, or an empty string.

    `told` are the entries already sent to the channel. An entry that went into a message already is not held back for
    being near to one of them: that message may have arrived.
    """
    if entry.audience != "subscribers":
        return ""
    reason = suppressed_from_the_start(
        entry.audience, origin="", detection_utc=entry.detection_utc, now=now, policy=policy
    )
    if reason or entry.notice_id:
        return reason
    near_s = policy.subscribers_every_s
    for other in told:
        apart_s = abs((other.detection_utc - entry.detection_utc).total_seconds())
        if other.hydrophone_id == entry.hydrophone_id and apart_s < near_s:
            return f"told already: {other.detection_id} is {apart_s:.0f} s from it"
    return ""


def next_due(entries: Sequence[OutboxEntry], *, now: datetime, policy: NoticePolicy) -> Due | None:
    """The next message to send to a channel, given all its recent entries in any state; None when nothing is due.

    A message begun before (its entries share a `notice_id`) goes first and unchanged; others of its bout wait for it.
    """
    due = (_due_of(group, now=now, policy=policy) for group in _groups(entries, policy))
    return min(filter(None, due), key=lambda one: (one.entries[0].due_utc, one.notice_id), default=None)


def _groups(entries: Sequence[OutboxEntry], policy: NoticePolicy) -> list[tuple[OutboxEntry, ...]]:
    """What is told together: to moderators bouts, to subscribers all of a hydrophone, to Orcasite each alone."""
    audience = entries[0].audience if entries else None
    if audience == "moderators":
        return bouts(entries, gap_s=policy.bout_gap_s)
    if audience == "subscribers":
        return bouts(entries, gap_s=float("inf"))
    return [(entry,) for entry in entries]


def _due_of(group: Sequence[OutboxEntry], *, now: datetime, policy: NoticePolicy) -> Due | None:
    waiting = [entry for entry in group if entry.state == "waiting"]
    last_sent = max((entry.sent_utc for entry in group if entry.sent_utc), default=None)
    if not waiting or (last_sent is not None and now - last_sent < policy.spacing(waiting[0].audience)):
        return None
    begun = min(
        (entry for entry in waiting if entry.notice_id), key=lambda e: (e.created_utc, e.notice_id), default=None
    )
    notice_id = begun.notice_id if begun else ""
    chosen = tuple(entry for entry in waiting if entry.notice_id == notice_id)
    if any(entry.due_utc > now for entry in chosen):
        return None
    return Due(
        notice_id=notice_id or _notice_id(chosen),
        entries=chosen,
        held_back=tuple(entry for entry in waiting if entry not in chosen) if begun else (),
        bout_id=bout_id(group),
        bout_start_utc=group[0].detection_utc,
        bout_size=len(group),
    )


def _notice_id(entries: Sequence[OutboxEntry]) -> str:
    told = ",".join(sorted(entry.detection_id for entry in entries))
    return str(uuid.uuid5(_NOTICE_NAMESPACE, f"{entries[0].channel_id}|{told}"))
