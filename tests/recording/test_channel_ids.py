"""What a channel is known by: nothing secret, and the same for as long as it leads to the same place."""

from __future__ import annotations

import pytest

from shared.errors import SettingsError
from shared.recording.channels import Channel, shared_ids


def test_a_channel_is_named_after_where_it_leads_and_not_after_its_password() -> None:
    """Changing a password keeps the channel's id, changing recipient, path or audience makes another channel."""
    first = Channel.of("mailtos://me:old@mail.example?to=a@b.example&pass=x", "moderators")

    assert first.id == Channel.of("mailtos://me:new@mail.example?to=a@b.example&pass=y", "moderators").id
    others = [
        Channel.of("mailtos://me:old@mail.example?to=c@b.example&pass=x", "moderators"),
        Channel.of("mailtos://you:old@mail.example?to=a@b.example&pass=x", "moderators"),
        Channel.of("mailtos://me:old@mail.example/x?to=a@b.example&pass=x", "moderators"),
        Channel.of("mailtos://me:old@mail.example?to=a@b.example&pass=x", "subscribers"),
    ]
    assert len({first.id, *(one.id for one in others)}) == 5
    assert shared_ids([first, first, *others]) == [], "the very same one twice is told once, as was meant"
    assert first.label == f"mailtos channel {first.id}"


def test_a_channel_name_is_fit_for_document_ids() -> None:
    """A name that no store could take as part of an id is refused when the channel is made, not when orcas call."""
    with pytest.raises(SettingsError, match="'a/b'"):
        Channel.of("json://h", "moderators", name="a/b")
    with pytest.raises(SettingsError, match="moderators"):
        Channel.of("json://[half-an-address", "moderators")


@pytest.mark.parametrize("url", ["orcasite://:k\N{LATIN SMALL LETTER L WITH STROKE}y@h", "orcasite+http://:k%C5%82y@h"])
def test_a_key_that_no_header_can_carry_is_refused(url: str) -> None:
    """An Orcasite key beyond ASCII, plain or encoded, is refused when the channel is made, and not shown."""
    with pytest.raises(SettingsError, match=r"orcasite.* channel there has a key") as raised:
        Channel.of(url, "orcasite", name="there")
    assert "k" not in str(raised.value).replace("key", "")
    assert raised.value.__context__ is None


def test_rooms_of_a_chat_are_channels_of_their_own() -> None:
    """What stands behind a # names a room, to Apprise: two of one workspace are told apart, by a word as well."""
    urls = ("slack://T1/B2/C3/#orcas", "slack://T1/B2/C3/#ships", "slack://T1/B2/C3/#ships?haro=night")
    rooms = [Channel.of(url, "moderators") for url in urls]

    assert len({room.id for room in rooms}) == 3
    assert shared_ids(rooms) == []


@pytest.mark.parametrize(
    "url",
    [
        "https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key={}",
        "jsons://user:{}@example.org/hook",
        "mailtos://me@mail.example?to=a@b.example&pass={}",
        "ntfy://h/t?token={}",
        "orcasite://:{}@h",
    ],
)
def test_urls_that_differ_in_a_secret_alone_are_said_and_can_be_told_apart(url: str) -> None:
    """Two such URLs for one audience are a complaint that shows no secret; a word at the end of one makes it another.

    A new secret keeps the id also of the one with the word.
    """
    first, second = (Channel.of(url.format(secret), "moderators") for secret in ("alice-1", "bobby-2"))
    (complaint,) = shared_ids([first, second, Channel.of(second.url, "subscribers")])
    assert first.label in complaint
    assert "alice" not in complaint
    assert "bobby" not in complaint

    word = "&haro=night" if "?" in url else "?haro=night"
    night = Channel.of(second.url + word, "moderators")
    assert shared_ids([first, night]) == []
    assert night.id == Channel.of(url.format("carol-3") + word, "moderators").id
