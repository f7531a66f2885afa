"""A channel whose address has moved: nobody reads what was sent to the old one, so it does not count as told."""

from __future__ import annotations

import io

import pytest

from shared.recording.channels import Channel
from shared.recording.orcasite import station_sender
from shared.recording.outbox import Delivered
from tests.crashing_documents import CrashingDocuments
from tests.recording.fakes import HYDROPHONES, Clock
from tests.recording.outbox import deliver, entries, heard, tell
from tests.recording.servers import http_server

SECRET = "s3cr3t-t0ken"  # noqa: S105 - what must not show up anywhere


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "url", ["orcasite+http://:k@{}", "json://{}/hook", "json://{}/hook?redirect=yes"], ids=["orcasite", "json", "asked"]
)
def test_a_message_that_was_redirected_is_sent_again(
    documents: CrashingDocuments, log: io.StringIO, url: str, status: int
) -> None:
    """Whoever answers with another address got nothing: an error says what to do, and the message comes once more.

    That address may hold a token, and is shown nowhere. Followed, the POST would have become a GET.
    """
    clock, sender = Clock(), station_sender(HYDROPHONES)
    with http_server((status, f"/{SECRET}")) as server:
        channel = Channel.of(url.format(f"127.0.0.1:{server.port}"), "orcasite", name="moved")
        tell(documents, [heard(0)], channel, clock=clock)
        assert deliver(documents, sender, channel, clock=clock) == Delivered(failed=1)
        (entry,) = entries(documents)
        clock.advance(3600)
        assert deliver(documents, sender, channel, clock=clock) == Delivered(sent=1)

    why = f"the server answered {status}, naming another address: put the right one into the channel's URL"
    assert entry.last_error.endswith(why)
    assert why in log.getvalue()
    assert SECRET not in entry.last_error + log.getvalue()
    (first, _, body), again = server.requests[0], server.requests[1:]
    assert [(path, sent) for path, _, sent in again] == [(first, body)]
