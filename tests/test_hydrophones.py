"""Who we listen to: the bundled list, files of four shapes, and every mistake in them named at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from shared.errors import HydrophoneError
from shared.hydrophones import Hydrophone, bundled_hydrophones, by_id, find, load_hydrophones

ENTRY = {
    "id": "test_bay",
    "name": "Test Bay",
    "slug": "test-bay",
    "latitude": 48.5,
    "longitude": -123.25,
    "stream_url": "https://streams.example/bucket/test_bay",
    "orcasite_feed_id": "feed_1",
    "threshold": 0.7,
}
TEST_BAY = Hydrophone(**ENTRY)
TOML = """
[[hydrophone]]
id = "test_bay"
name = "Test Bay"
slug = "test-bay"
latitude = 48.5
longitude = -123.25
stream_url = "https://streams.example/bucket/test_bay"
orcasite_feed_id = "feed_1"
threshold = 0.7
"""


def write(folder: Path, content: object, name: str = "hydrophones.json") -> Path:
    """A file with this text, or with this value as JSON."""
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def feed(feed_id: str = "feed_1", **attributes: Any) -> dict[str, Any]:
    """One feed as Orcasite's JSON:API gives it."""
    given = {
        "name": "Test Bay",
        "node_name": "test_bay",
        "slug": "test-bay",
        "bucket": "audio-test",
        "bucket_region": "us-west-2",
        "lat_lng": {"lng": -123.25, "lat": 48.5},
        "location_point": {"type": "Point", "coordinates": [-123.25, 48.5]},
        "visible": True,
        "image_url": "https://streams.example/test.jpg",
    }
    return {"type": "feed", "id": feed_id, "attributes": given | attributes, "links": {}, "relationships": {}}


def test_the_bundled_list_is_orcasounds_eight() -> None:
    """Eight hydrophones, each where Orcasound publishes it, with the names that OrcaHello knows them by."""
    bundled = bundled_hydrophones()

    bucket = "https://s3-us-west-2.amazonaws.com/audio-orcasound-net"
    assert {h.id: (h.slug, h.name) for h in bundled} == {
        "rpi_andrews_bay": ("andrews-bay", "Andrews Bay"),
        "rpi_bush_point": ("bush-point", "Bush Point"),
        "rpi_mast_center": ("mast-center", "Mast Center (MaST)"),
        "rpi_north_sjc": ("north-sjc", "North San Juan Channel"),
        "rpi_orcasound_lab": ("orcasound-lab", "Orcasound Lab"),
        "rpi_point_robinson": ("point-robinson", "Point Robinson"),
        "rpi_port_townsend": ("port-townsend", "Port Townsend"),
        "rpi_sunset_bay": ("sunset-bay", "Sunset Bay"),
    }
    for hydrophone in bundled:
        assert hydrophone.stream_url == f"{bucket}/{hydrophone.id}"
        assert (hydrophone.bucket_url, hydrophone.node_name) == (bucket, hydrophone.id)
        assert 47 < (hydrophone.latitude or 0) < 49
        assert -124 < (hydrophone.longitude or 0) < -122
        assert hydrophone.threshold is None


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("list.toml", TOML),
        ("list.json", [ENTRY]),
        ("list.json", {"hydrophones": [ENTRY]}),
        ("list", TOML),
        ("list.conf", json.dumps([ENTRY])),
        ("list.json", "\ufeff" + json.dumps([ENTRY])),
        ("list.toml", "\ufeff# with a byte order mark\n" + TOML),
    ],
)
def test_every_shape_of_file_gives_the_same(tmp_path: Path, name: str, content: object) -> None:
    """TOML, a JSON list and a JSON object are read alike, whatever the file is called."""
    assert load_hydrophones(write(tmp_path, content, name)) == (TEST_BAY,)


def test_what_is_not_given_follows_from_the_id(tmp_path: Path) -> None:
    """An id alone is enough: name, slug and Orcasound's address follow from it."""
    (only,) = load_hydrophones(write(tmp_path, [{"id": "rpi_new_bay", "name": "", "slug": ""}]))

    assert (only.name, only.slug) == ("rpi_new_bay", "new-bay")
    assert only.stream_url == "https://s3-us-west-2.amazonaws.com/audio-orcasound-net/rpi_new_bay"
    assert (only.latitude, only.longitude, only.orcasite_feed_id, only.threshold) == (None, None, None, None)


def test_orcasites_own_list_is_read(tmp_path: Path) -> None:
    """What Orcasite serves at /api/json/feeds is a list of hydrophones as it stands, bucket and position included."""
    other = feed("feed_2", node_name="rpi_other", bucket=None, lat_lng=None, name=None, slug=None)
    first, second = load_hydrophones(write(tmp_path, {"data": [feed(), other], "jsonapi": {"version": "1.0"}}))

    assert first == Hydrophone(
        id="test_bay",
        name="Test Bay",
        slug="test-bay",
        latitude=48.5,
        longitude=-123.25,
        stream_url="https://s3-us-west-2.amazonaws.com/audio-test/test_bay",
        orcasite_feed_id="feed_1",
    )
    assert second == Hydrophone(id="rpi_other", orcasite_feed_id="feed_2")


def test_every_wrong_entry_is_named_at_once(tmp_path: Path) -> None:
    """One reading tells all that is to be corrected, by number and field."""
    entries = [
        ENTRY,
        {"id": "Test Bay"},
        {"name": "no id"},
        {"id": "far", "latitude": 91, "longitude": float("nan"), "threshold": 60},
        {"id": "typo", "treshold": 0.5},
        {"id": "ftp", "stream_url": "ftp://host/ftp"},
        {"id": "half", "stream_url": "http://"},
        "rpi_bare",
        None,
    ]

    with pytest.raises(HydrophoneError) as caught:
        load_hydrophones(write(tmp_path, entries))
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'hydrophones.json'}: hydrophone 2: id:")
    told = [part.split(": ")[:2] for part in message.removeprefix(f"{tmp_path / 'hydrophones.json'}: ").split("; ")]
    assert told == [
        ["hydrophone 2", "id"],
        ["hydrophone 3", "id"],
        ["hydrophone 4", "latitude"],
        ["hydrophone 4", "longitude"],
        ["hydrophone 4", "threshold"],
        ["hydrophone 5", "treshold"],
        ["hydrophone 6", "stream_url"],
        ["hydrophone 7", "stream_url"],
        ["hydrophone 8", "entry"],
        ["hydrophone 9", "entry"],
    ]


def test_a_wrong_feed_is_named(tmp_path: Path) -> None:
    """A feed without a node, or with a position of another shape, is told or done without, never a crash."""
    path = write(tmp_path, {"data": [feed(node_name=None), feed(lat_lng=[48.5, -123.25]), 5]})

    with pytest.raises(HydrophoneError, match="hydrophone 1: id: Field required; hydrophone 3: entry") as caught:
        load_hydrophones(path)
    assert "hydrophone 2" not in str(caught.value)


def test_an_id_given_twice_is_named(tmp_path: Path) -> None:
    """Two hydrophones under one id would share a cursor: that is refused, each id named once."""
    path = write(tmp_path, [{"id": name} for name in ("b", "a", "c", "b", "a", "b")])

    with pytest.raises(HydrophoneError, match=r"json: the id 'a' is given twice; the id 'b' is given twice$"):
        load_hydrophones(path)


@pytest.mark.parametrize("content", [[], {}, {"data": []}, {"hydrophones": {}}, {"hydrophones": None}, 5, None, "\n"])
def test_a_file_without_hydrophones_is_refused(tmp_path: Path, content: object) -> None:
    """Listening to nobody is never what was meant: an empty list is an error that says what to write."""
    name = "hydrophones.toml" if isinstance(content, str) else "hydrophones.json"

    with pytest.raises(HydrophoneError, match=r"holds no hydrophones\. Start each with \[\[hydrophone\]\]"):
        load_hydrophones(write(tmp_path, content, name))


@pytest.mark.parametrize(
    ("name", "content"),
    [("list.json", '[{"id": "a"'), ("list.toml", "[[hydrophone]"), ("list.json", ""), ("list", "id: rpi_a\n")],
)
def test_a_file_that_is_neither_toml_nor_json_is_told(tmp_path: Path, name: str, content: str) -> None:
    """A broken file is named with the place where it breaks."""
    with pytest.raises(HydrophoneError, match=rf"{name}: is neither TOML nor JSON: .*line 1"):
        load_hydrophones(write(tmp_path, content, name))


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """No file, a folder, and bytes that are no text are each an error with the path."""
    (tmp_path / "binary").write_bytes(b"\x00\xff\xfe")

    for path in (tmp_path / "nothing", tmp_path, tmp_path / "binary"):
        with pytest.raises(HydrophoneError, match=f"^{path}: cannot be read as a list of hydrophones"):
            load_hydrophones(path)


@pytest.mark.parametrize("name", ["rpi_bush_point", "bush-point", "Bush Point", " BUSH POINT ", "RPI_bush_POINT"])
def test_found_by_id_slug_or_name(name: str) -> None:
    """People write a hydrophone's name in many ways; all of them find it."""
    assert find(bundled_hydrophones(), name).id == "rpi_bush_point"


def test_an_unknown_name_lists_the_known() -> None:
    """A name nobody has is answered with the ids there are."""
    known = (Hydrophone(id="one"), Hydrophone(id="two"))

    with pytest.raises(HydrophoneError, match=r"no hydrophone is called 'three'; there are: one, two"):
        find(known, "three")


def test_the_address_comes_apart() -> None:
    """Bucket and node are the two halves of a stream's address, whatever the id, and a final slash means nothing."""
    hydrophone = Hydrophone(id="lab", stream_url="http://127.0.0.1:8080/bucket/deep/node_7/")

    assert (hydrophone.bucket_url, hydrophone.node_name) == ("http://127.0.0.1:8080/bucket/deep", "node_7")
    assert by_id((hydrophone,)) == {"lab": hydrophone}
