"""Confirmed detections to Orcasite, by its JSON:API."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from http import HTTPStatus
from urllib.parse import unquote, urlsplit

import requests

from shared.errors import CannotBeTold, NotificationError
from shared.hydrophones import Hydrophone
from shared.recording.apprise import AppriseSender
from shared.recording.channels import ORCASITE_SCHEMES, Channel, Notice, SenderByScheme, answered
from shared.recording.detections import detection_start
from shared.storage.ports import Json

_MEDIA_TYPE = "application/vnd.api+json"
_TIMEOUTS_S = (5.0, 20.0)  # to connect, to answer
_ALREADY = "has already been taken"


class OrcasiteSender:
    """Posts each detection of a notice to the Orcasite of the channel's URL: `orcasite://:API_KEY@HOST`.

    `orcasite+http://` is the same without encryption, for an Orcasite on one's own machine. The detection's id is the
    idempotency key: Orcasite refuses it the second time, which counts as done.
    """

    def __init__(self, hydrophones: Mapping[str, Hydrophone]) -> None:
        self._hydrophones = hydrophones

    def check(self, channel: Channel) -> None:
        """See `Sender.check`: whether the URL names a server."""
        if not urlsplit(channel.url).hostname:
            raise NotificationError(f"{channel.label} names no server: write orcasite://:KEY@HOST")

    def send(self, channel: Channel, notice: Notice) -> None:
        """See `Sender.send`."""
        address = urlsplit(channel.url)
        secure = address.scheme != "orcasite+http"
        url = f"http{'s' if secure else ''}://{address.netloc.rpartition('@')[2]}/api/json/detections"
        headers = {"Content-Type": _MEDIA_TYPE, "Accept": _MEDIA_TYPE}
        headers["Authorization"] = f"Bearer {unquote(address.password or '')}"
        for detection in notice.detections:
            try:
                answer = requests.post(
                    url,
                    json=self._body(channel, detection),
                    headers=headers,
                    timeout=_TIMEOUTS_S,
                    allow_redirects=False,
                )
            except requests.RequestException as error:
                # Not chained: the original names the address.
                raise NotificationError(f"{channel.label} did not answer: {type(error).__name__}") from None
            status = answer.status_code
            taken = HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES
            if taken or (status == HTTPStatus.BAD_REQUEST and _ALREADY in answer.text):
                continue
            raise NotificationError(f"{channel.label} did not take detection {detection['id']}: {answered(status)}")

    def _body(self, channel: Channel, detection: Json) -> Json:
        hydrophone = self._hydrophones.get(detection["source_guid"])
        if hydrophone is None or hydrophone.orcasite_feed_id is None:
            raise CannotBeTold(
                f"{channel.label}: hydrophone {detection['source_guid']} has no orcasite_feed_id; add it to the list of"
                " hydrophones, or name the channel's hydrophones without it"
            )
        predictions = detection.get("predictions") or ()  # what other tools wrote may have none
        strongest = max(predictions, key=lambda one: one["confidence"], default={"startTime": 0.0})
        heard_utc = detection_start(detection) + timedelta(seconds=strongest["startTime"])
        return {
            "data": {
                "type": "detection",
                "attributes": {
                    "description": detection.get("comments", ""),
                    "feed_id": hydrophone.orcasite_feed_id,
                    "timestamp": heard_utc.isoformat(),
                    "idempotency_key": detection["id"],
                },
            }
        }


def station_sender(hydrophones: Mapping[str, Hydrophone]) -> SenderByScheme:
    """The sender of a station: Orcasite by its own schemes, everybody else by Apprise."""
    return SenderByScheme(AppriseSender(), dict.fromkeys(ORCASITE_SCHEMES, OrcasiteSender(hydrophones)))
