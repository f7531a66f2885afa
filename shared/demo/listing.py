"""What S3 answers when a public bucket is listed (ListObjectsV2)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from xml.etree import ElementTree as ET

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
MAX_KEYS = 1000


@dataclass(frozen=True)
class ListedObject:
    """One object of the bucket, as the listing shows it."""

    key: str
    size_bytes: int
    etag: str
    modified_utc: datetime


def list_objects_v2(bucket: str, objects: Iterable[ListedObject], query: Mapping[str, str]) -> bytes | None:
    """The XML answer to `?list-type=2` with `prefix`, `delimiter`, `max-keys`, `start-after` and `continuation-token`.

    Keys and common prefixes count alike towards `max-keys`, in order of name, as in S3. `None` for a query S3 refuses.
    """
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    token = query.get("continuation-token")
    try:
        max_keys = min(int(query.get("max-keys", MAX_KEYS)), MAX_KEYS)
        after = (
            query.get("start-after", "")
            if token is None
            else base64.b64decode(token, altchars=b"-_", validate=True).decode()
        )
    except (ValueError, binascii.Error):
        return None
    if max_keys < 0:
        return None
    entries = [entry for entry in _entries(objects, prefix, delimiter).items() if entry[0] > after]
    page = entries[:max_keys]
    truncated = 0 < max_keys < len(entries)

    root = ET.Element("ListBucketResult", xmlns=NAMESPACE)
    _add(root, Name=bucket, Prefix=prefix, KeyCount=len(page), MaxKeys=max_keys, IsTruncated=str(truncated).lower())
    if delimiter:
        _add(root, Delimiter=delimiter)
    if token is not None:
        _add(root, ContinuationToken=token)
    if truncated:
        _add(root, NextContinuationToken=base64.urlsafe_b64encode(page[-1][0].encode()).decode())
    for name, item in page:
        if item is None:
            _add(ET.SubElement(root, "CommonPrefixes"), Prefix=name)
        else:
            modified = item.modified_utc.strftime("%Y-%m-%dT%H:%M:%S.000Z")
            contents = ET.SubElement(root, "Contents")
            _add(contents, Key=name, LastModified=modified, ETag=item.etag, Size=item.size_bytes)
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True))


def _entries(objects: Iterable[ListedObject], prefix: str, delimiter: str) -> dict[str, ListedObject | None]:
    """What a listing shows, in order: keys with their objects, and common prefixes with None."""
    entries: dict[str, ListedObject | None] = {}
    for item in objects:
        if item.key.startswith(prefix):
            folder, found, _ = item.key[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
            entries[prefix + folder + delimiter if found else item.key] = None if found else item
    return dict(sorted(entries.items()))


def _add(parent: ET.Element, **fields: str | int) -> None:
    for name, value in fields.items():
        ET.SubElement(parent, name).text = str(value)
