"""Confirmed detections to Orcasite, by its JSON:API."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from http import HTTPStatus
from urllib.parse import unquote, urlsplit

import requests

from shared.errors import NotificationError
from shared.hydrophones import Hydrophone
from shared.recording.channels import Channel, Notice
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
            if answer.ok or (answer.status_code == HTTPStatus.BAD_REQUEST and _ALREADY in answer.text):
                continue
            raise NotificationError(f"{channel.label} refused detection {detection['id']}: {answer.status_code}")

    def _body(self, channel: Channel, detection: Json) -> Json:
        hydrophone = self._hydrophones.get(detection["source_guid"])
        if hydrophone is None or hydrophone.orcasite_feed_id is None:
            raise NotificationError(
                f"{channel.label}: hydrophone {detection['source_guid']} has no orcasite_feed_id; add it to the list of"
                " hydrophones, or name the channel's hydrophones without it"
            )
        strongest = max(detection["predictions"], key=lambda one: one["confidence"], default={"startTime": 0.0})
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
