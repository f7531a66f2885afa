"""The timers that set right what went wrong."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from azure.functions.timer import TimerRequest

from shared.documents import SENT, SentBatch
from shared.house import House
from shared.storage.ports import Message
from tests.functions.host import received
from tests.house import HEARD_UTC
from tests.upkeep.conftest import make_batch


def test_the_timers_of_upkeep_do_their_work(
    trigger: Callable[[str, object], None], house: House, caplog: pytest.LogCaptureFixture
) -> None:
    """A dead letter is told, and a batch that vanished is on the queue again."""
    house.storage.batches.send([Message("rubbish", "{")])
    house.storage.batches.dead_letter(received(house), reason="no batch")
    house.storage.documents.create(SENT, SentBatch.of(make_batch(0), sent_utc=HEARD_UTC - timedelta(days=1)).to_json())

    trigger("deadletter", TimerRequest())
    trigger("reconcile", TimerRequest())

    assert "1 dead letters" in caplog.text
    assert received(house).message.id == f"{make_batch(0).id}~1"
