"""The policy: who is told what, when and how often."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.documents import OutboxEntry
from shared.recording.notify import (
    NoticePolicy,
    bout_id,
    bouts,
    next_due,
    suppressed_by_now,
    suppressed_from_the_start,
)
from tests.recording.fakes import NOON, make_entry

POLICY = NoticePolicy()
MINUTE = timedelta(minutes=1)


def at(minutes: float, **changes: object) -> OutboxEntry:
    """An entry for a detection so many minutes after noon."""
    return make_entry(NOON + minutes * MINUTE, **changes)


def test_a_bout_ends_where_the_gap_is_reached() -> None:
    """Detections less than the gap apart are one bout, at the gap a new one begins, and hydrophones do not mix."""
    split = bouts([at(0), at(14.9), at(29.9), at(1, hydrophone_id="rpi_bush_point")], gap_s=900)

    assert [[e.detection_utc for e in bout] for bout in split] == [
        [NOON + MINUTE],
        [NOON, NOON + 14.9 * MINUTE],
        [NOON + 29.9 * MINUTE],
    ]
    assert bout_id(split[1]) == "rpi_orcasound_lab:2026-03-20T19:00:00Z"


@given(
    minutes=st.lists(st.integers(0, 300), min_size=1, max_size=25, unique=True),
    data=st.data(),
)
def test_bouts_do_not_depend_on_the_order_of_arrival(minutes: list[int], data: st.DataObject) -> None:
    """However live detections and a backfill come in, the same set of them makes the same bouts with the same ids."""
    shuffled = data.draw(st.permutations(minutes))

    def named(order: list[int]) -> dict[str, list[str]]:
        return {bout_id(bout): [e.detection_id for e in bout] for bout in bouts([at(m) for m in order], gap_s=900)}

    assert named(shuffled) == named(minutes)
    starts = sorted(minutes)
    joints = sum(1 for before, after in pairwise(starts) if after - before < 15)
    assert len(named(minutes)) == len(minutes) - joints


def test_the_first_of_a_bout_goes_at_once_and_the_rest_together() -> None:
    """After the first message of a bout, further detections wait for the interval and then go in one message."""
    first = at(0, state="sent", sent_utc=NOON + MINUTE, notice_id="n")
    more = [at(1), at(2), at(3)]

    assert next_due([at(0)], now=NOON, policy=POLICY) is not None
    assert next_due([first, *more], now=NOON + 5 * MINUTE, policy=POLICY) is None
    due = next_due([first, *more], now=NOON + 6 * MINUTE, policy=POLICY)
    assert due is not None
    assert due.entries == tuple(more)
    assert due.bout_size == 4
    assert due.bout_start_utc == NOON


def test_a_begun_message_is_repeated_unchanged_before_others_of_its_bout() -> None:
    """What went out once and was not marked goes out again alone, under the same name, and holds the others back."""
    begun = [at(0, notice_id="n", due_utc=NOON + 9 * MINUTE), at(1, notice_id="n", due_utc=NOON + 9 * MINUTE)]

    assert next_due([*begun, at(2)], now=NOON + 8 * MINUTE, policy=POLICY) is None
    due = next_due([*begun, at(2)], now=NOON + 9 * MINUTE, policy=POLICY)
    assert due is not None
    assert (due.notice_id, due.entries) == ("n", tuple(begun))


def test_a_message_is_named_after_what_it_tells() -> None:
    """The same detections to the same channel make the same message; another channel makes another."""
    one = next_due([at(0), at(1)], now=NOON + MINUTE, policy=POLICY)
    again = next_due([at(1), at(0)], now=NOON + 4 * MINUTE, policy=POLICY)
    elsewhere = next_due([at(0, channel_id="b"), at(1, channel_id="b")], now=NOON + MINUTE, policy=POLICY)

    assert one
    assert again
    assert elsewhere
    assert one.notice_id == again.notice_id != elsewhere.notice_id


def test_orcasite_gets_each_detection_alone_and_at_once() -> None:
    """For Orcasite nothing is grouped and nothing waits."""
    entries = [
        at(0, audience="orcasite", state="sent", sent_utc=NOON + MINUTE),
        at(1, audience="orcasite"),
        at(2, audience="orcasite"),
    ]

    due = next_due(entries, now=NOON + MINUTE * 2, policy=POLICY)

    assert due is not None
    assert due.entries == (entries[1],)


@pytest.mark.parametrize(
    ("audience", "origin", "age_h", "told"),
    [
        ("moderators", "live", 23, True),
        ("moderators", "live", 50, True),
        ("moderators", "backfill", 23, True),
        ("moderators", "backfill", 25, False),
        ("subscribers", "live", 25, False),
        ("subscribers", "live", 23, True),
        ("orcasite", "backfill", 9999, True),
    ],
)
def test_old_news_is_no_news(audience: object, origin: str, age_h: int, *, told: bool) -> None:
    """A backfill of past years pages nobody, subscribers hear nothing old, moderators every live detection."""
    reason = suppressed_from_the_start(
        audience,  # type: ignore[arg-type]  # a literal, from the table above
        origin=origin,
        detection_utc=NOON - timedelta(hours=age_h),
        now=NOON,
        policy=POLICY,
    )

    assert bool(reason) is not told


def test_subscribers_are_not_told_twice_of_the_same_quarter_of_an_hour() -> None:
    """A detection close to one already told is suppressed with that reason; one elsewhere, or begun, is not."""
    told = [at(0, audience="subscribers", state="sent", sent_utc=NOON)]

    def why(entry: OutboxEntry, now: datetime = NOON + 30 * MINUTE) -> str:
        return suppressed_by_now(entry, told, now=now, policy=POLICY)

    assert "told already" in why(at(14.9, audience="subscribers"))
    assert "told already" in why(at(-14.9, audience="subscribers"))
    assert not why(at(15, audience="subscribers"))
    assert not why(at(1, audience="subscribers", hydrophone_id="rpi_bush_point"))
    assert not why(at(1, audience="subscribers", notice_id="n"))
    assert not why(at(1))
    assert "older" in why(at(20, audience="subscribers"), NOON + timedelta(days=2))
    assert "older" in why(at(20, audience="subscribers", notice_id="n"), NOON + timedelta(days=2))


def test_retries_wait_twice_as_long_each_time_up_to_the_cap() -> None:
    """The back-off doubles from the first retry to its cap and never overflows."""
    waits = [POLICY.retry_after(attempts).total_seconds() for attempts in (1, 2, 3, 7, 8, 9, 5000)]

    assert waits == [30, 60, 120, 1920, 3600, 3600, 3600]
