"""Channels: messages really delivered to servers on loopback, and URLs that stay secret."""

from __future__ import annotations

import io
import logging
from urllib.parse import quote

import pytest

from shared.errors import CannotBeTold, NotificationError
from shared.recording.apprise import AppriseSender
from shared.recording.channels import Channel, Notice, SenderByScheme
from shared.recording.detections import Verdict, detection_document, moderated
from shared.recording.orcasite import OrcasiteSender, station_sender
from shared.recording.outbox import Delivered
from shared.storage.ports import Json
from tests.crashing_documents import CrashingDocuments, open_documents
from tests.recording.fakes import HYDROPHONES, LAB, NOON, Clock, RecordingSender, make_result
from tests.recording.outbox import deliver, entries, tell
from tests.recording.servers import http_server, mail_server

SECRET = "s3cr3t-t0ken"  # noqa: S105 - what must not show up in any log
NOTICE = Notice("Orca call candidate", "Listen.", "key-1")


def _confirmed() -> Json:
    detection = detection_document(
        make_result(), LAB, audio_uri="https://a/1.flac", image_uri="https://a/1.png", result_blob=""
    )
    return moderated(detection, Verdict("yes", "Ann", "K pod, close to shore"), now=NOON)


def _deliver_through_two_failures(channel: Channel) -> list[Delivered]:
    """Plan one confirmed detection and deliver it in four rounds, through the sender of a running station."""
    clock, sender, rounds = Clock(), station_sender(HYDROPHONES), []
    with open_documents() as documents:
        tell(documents, [_confirmed()], channel, clock=clock)
        for _ in range(4):
            rounds.append(deliver(documents, sender, channel, clock=clock))
            clock.advance(3600)
    return rounds


TWO_FAILURES = [Delivered(failed=1), Delivered(failed=1), Delivered(sent=1), Delivered()]


def test_a_webhook_survives_two_failures(log: io.StringIO, capfd: pytest.CaptureFixture[str]) -> None:
    """A JSON webhook that answers 503 twice gets the message the third time, same key, and no log shows its secret."""
    with http_server((503, "busy"), (503, "busy")) as server:
        url = f"json://user:{SECRET}@127.0.0.1:{server.port}/hook/{SECRET}?+X-Token={SECRET}"
        assert _deliver_through_two_failures(Channel.of(url, "moderators")) == TWO_FAILURES

    paths, headers, bodies = zip(*server.requests, strict=True)
    assert set(paths) == {f"/hook/{SECRET}"}
    assert len({one["Idempotency-Key"] for one in headers}) == 1
    assert headers[0]["X-Token"] == SECRET
    assert bodies[0] == bodies[2]
    assert bodies[2]["title"] == "Orca call candidate at Orcasound Lab"
    assert "2026-03-20 12:00:00 PDT (19:00:00 UTC), confidence 80 %" in bodies[2]["message"]
    assert "https://a/1.flac" in bodies[2]["message"]
    assert "the server answered 503" in log.getvalue()
    _assert_secret(log, capfd)


def test_an_email_survives_two_failures(log: io.StringIO, capfd: pytest.CaptureFixture[str]) -> None:
    """A mail server that answers 451 twice gets the mail the third time, same key, and no log shows who gets it."""
    with mail_server(refusals=2) as server:
        url = f"mailto://127.0.0.1:{server.port}?from=haro@station.example&to={SECRET}@people.example"
        assert _deliver_through_two_failures(Channel.of(url, "subscribers")) == TWO_FAILURES

    ((recipients, message),) = server.messages
    assert recipients == [f"{SECRET}@people.example"]
    assert message["Subject"] == "Orcas heard at Orcasound Lab"
    assert message.get_content_type() == "text/plain"
    text = message.get_payload(decode=True)
    assert isinstance(text, bytes)
    assert "Ann writes: K pod, close to shore" in text.decode()
    assert [m["Idempotency-Key"] for m in server.attempts] == [message["Idempotency-Key"]] * 3
    assert "the server answered 451" in log.getvalue()
    _assert_secret(log, capfd)


def test_orcasite_survives_two_failures(log: io.StringIO, capfd: pytest.CaptureFixture[str]) -> None:
    """Orcasite gets the detection at the time of its strongest call; having it already counts as done."""
    already = (400, '{"errors":[{"detail":"has already been taken"}]}')
    with http_server((503, ""), (400, "what is this"), already) as server:
        url = f"orcasite+http://:{quote(SECRET + '/+', safe='')}@127.0.0.1:{server.port}"
        assert _deliver_through_two_failures(Channel.of(url, "orcasite")) == TWO_FAILURES

    path, headers, body = server.requests[-1]
    assert path == "/api/json/detections"
    assert headers["Authorization"] == f"Bearer {SECRET}/+"
    assert headers["Content-Type"] == "application/vnd.api+json"
    assert body["data"] == {
        "type": "detection",
        "attributes": {
            "description": "K pod, close to shore",
            "feed_id": "feed_1",
            "timestamp": "2026-03-20T19:00:08+00:00",
            "idempotency_key": _confirmed()["id"],
        },
    }
    _assert_secret(log, capfd)


def _assert_secret(log: io.StringIO, capfd: pytest.CaptureFixture[str]) -> None:
    output = "".join(capfd.readouterr())
    assert log.getvalue()
    assert SECRET not in log.getvalue()
    assert SECRET not in output


@pytest.mark.parametrize("url", [f"nonsense://{SECRET}", f"slack://{SECRET}", f"mailto://{SECRET}", SECRET])
def test_a_url_nobody_understands_is_an_error_that_keeps_the_secret(
    url: str, log: io.StringIO, capfd: pytest.CaptureFixture[str]
) -> None:
    """A wrong channel URL raises when checked and when used, and shows no more than its scheme."""
    channel = Channel.of(url, "moderators", name="wrong")
    with pytest.raises(NotificationError, match="does not understand") as raised:
        AppriseSender().check(channel)
    assert SECRET not in repr(raised.value)
    with pytest.raises(NotificationError, match="does not understand"):
        AppriseSender().send(channel, NOTICE)
    assert SECRET not in log.getvalue()
    assert SECRET not in "".join(capfd.readouterr())
    assert SECRET not in repr(channel)


def test_a_server_that_is_not_there_is_an_error() -> None:
    """Nobody listening is a NotificationError for every sender, with nothing of the address in it or behind it."""
    with http_server() as server:
        port = server.port
    detection = Notice("t", "b", "k", (_confirmed(),))
    for sender, url in (
        (AppriseSender(), f"json://127.0.0.1:{port}/{SECRET}"),
        (AppriseSender(), f"mailto://127.0.0.1:{port}?from=a@station.example&to={SECRET}@people.example"),
        (OrcasiteSender(HYDROPHONES), f"orcasite+http://:{SECRET}@127.0.0.1:{port}"),
    ):
        with pytest.raises(NotificationError) as raised:
            sender.send(Channel.of(url, "moderators"), detection)
        assert raised.value.__suppress_context__ or raised.value.__context__ is None
        assert SECRET not in str(raised.value)


def test_orcasite_needs_to_know_the_feed() -> None:
    """A hydrophone without a feed id cannot be posted, and the error says what to add."""
    with pytest.raises(CannotBeTold, match="orcasite_feed_id"):
        OrcasiteSender({}).send(Channel.of("orcasite://:k@h", "orcasite"), Notice("t", "b", "k", (_confirmed(),)))


def test_what_orcasite_can_never_take_is_suppressed_and_not_tried_again(documents: CrashingDocuments) -> None:
    """A hydrophone without a feed id costs one attempt and no failure, and its entry says what to add."""
    clock = Clock()
    channel = Channel.of("orcasite://:k@h", "orcasite", name="orcasite")
    tell(documents, [_confirmed()], channel, clock=clock)

    assert deliver(documents, station_sender({}), channel, clock=clock) == Delivered(suppressed=1)
    (entry,) = entries(documents)
    assert (entry.state, "orcasite_feed_id" in entry.suppressed_because) == ("suppressed", True)
    clock.advance(3600)
    assert deliver(documents, station_sender({}), channel, clock=clock) == Delivered()


def test_orcasite_takes_a_detection_that_says_the_least() -> None:
    """A document of another tool, without predictions and links, is posted at the start of its clip."""
    least = {key: value for key, value in _confirmed().items() if key not in {"predictions", "audioUri", "imageUri"}}
    with http_server() as server:
        channel = Channel.of(f"orcasite+http://:k@127.0.0.1:{server.port}", "orcasite")
        station_sender(HYDROPHONES).send(channel, Notice("t", "b", "k", (least,)))

    assert server.requests[0][2]["data"]["attributes"]["timestamp"] == NOON.isoformat()


def test_every_scheme_is_checked_by_who_sends_it() -> None:
    """What can be sent to passes the check without a message; a mistyped service and a missing host do not."""
    sender = station_sender(HYDROPHONES)
    for url in ("json://h", "orcasite://:k@h", "orcasite+http://:k@h"):
        sender.check(Channel.of(url, "orcasite"))
    for url in ("jsno://h", "orcasite://", "orcasite+http://:k@"):
        with pytest.raises(NotificationError):
            sender.check(Channel.of(url, "orcasite"))


def test_each_scheme_has_its_sender() -> None:
    """A notice goes to the sender of its channel's scheme, whatever its case, and else to the default."""
    default, special = RecordingSender(), RecordingSender()
    sender = SenderByScheme(default, {"orcasite": special})
    sender.send(Channel.of("OrcaSite://:k@h", "orcasite"), NOTICE)
    sender.send(Channel.of("json://h", "moderators"), NOTICE)

    assert (len(special.sent), len(default.sent)) == (1, 1)


def test_other_logs_of_the_http_library_stay_heard(log: io.StringIO) -> None:
    """Only what is said while a notice goes out is kept from the logs."""
    with http_server() as server:
        AppriseSender().send(Channel.of(f"json://127.0.0.1:{server.port}/{SECRET}", "moderators"), NOTICE)
        logging.getLogger("urllib3.connectionpool").debug("a poll of a stream")

    assert log.getvalue().splitlines() == ["a poll of a stream"]
