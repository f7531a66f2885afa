"""Every setting from the environment, every mistake at once, and no secret anywhere."""

from __future__ import annotations

import logging
import traceback
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from shared.errors import SettingsError
from shared.settings import Settings, load_settings, variable_name

GIVEN: dict[str, tuple[str, Any]] = {
    "storage": ("azure", "azure"),
    "data": ("/var/haro", Path("/var/haro")),
    "cosmos_database": ("orcas", "orcas"),
    "hydrophones": ("ours.toml", Path("ours.toml")),
    "model": ("other.onnx", Path("other.onnx")),
    "model_version": ("ours/2.0", "ours/2.0"),
    "poll_schedule": ("0 * * * * *", "0 * * * * *"),
    "deadletter_schedule": ("0 0 * * * *", "0 0 * * * *"),
    "reconcile_schedule": ("0 30 * * * *", "0 30 * * * *"),
    "blob_source": ("polling", "polling"),
    "reconcile_after_s": ("900", 900.0),
    "poll_interval_s": ("2.5", 2.5),
    "stall_s": ("60", 60.0),
    "far_behind_s": ("1200", 1200.0),
    "first_contact_s": ("0", 0.0),
    "backfill_room": ("9", 9),
    "connect_timeout_s": ("1.5", 1.5),
    "read_timeout_s": ("30", 30.0),
    "http_attempts": ("1", 1),
    "late_s": ("45", 45.0),
    "score_threads": ("4", 4),
    "score_batch_size": ("16", 16),
    "max_clip_bytes": ("1000000", 1_000_000),
    "max_clip_s": ("90", 90.0),
    "clip_format": ("wav", "wav"),
    "keep_clips": ("detections", "detections"),
    "lock_s": ("600", 600.0),
    "max_deliveries": ("2", 2),
    "keep_days": ("14", 14.0),
    "min_free_gb": ("0.5", 0.5),
    "moderator_channels": ("json://a json://b", (SecretStr("json://a"), SecretStr("json://b"))),
    "subscriber_channels": ("mailto://c", (SecretStr("mailto://c"),)),
    "orcasite_channels": ("orcasite://:KEY@d", (SecretStr("orcasite://:KEY@d"),)),
    "bout_gap_s": ("600", 600.0),
    "bout_update_s": ("0", 0.0),
    "link_days": ("1", 1.0),
    "metrics_host": ("0.0.0.0", "0.0.0.0"),  # noqa: S104 - read, not listened on
    "metrics_port": ("9464", 9464),
    "log_level": ("DEBUG", "DEBUG"),
}


def test_every_setting_comes_from_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each setting is read from HARO_ and its upper-case name, and arrives with its type."""
    assert set(GIVEN) == set(Settings.model_fields), "a new setting needs a line here"
    for unset in ("model", "model_version"):  # one of them excludes the other
        given = {name: value for name, value in GIVEN.items() if name != unset}
        for name, (text, _) in given.items():
            monkeypatch.setenv(f"HARO_{name.upper()}", text)
        monkeypatch.delenv(f"HARO_{unset.upper()}", raising=False)

        settings = load_settings()

        assert {name: getattr(settings, name) for name in given} == {name: value for name, (_, value) in given.items()}


def test_without_any_variable_the_defaults_stand() -> None:
    """Nothing has to be set: a bare `haro run` has settings that are valid by their own rules."""
    settings = load_settings()

    assert settings.data == Path("data")
    assert settings.moderator_channels == ()
    assert Settings.model_validate(settings.model_dump()) == settings


@pytest.mark.parametrize("name", GIVEN)
def test_an_empty_variable_counts_as_not_given(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """An empty line in an environment file never becomes the folder `.` or an error."""
    monkeypatch.setenv(variable_name(name), "")

    assert load_settings() == Settings()


def test_every_wrong_value_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each wrong value and each unknown name is in one message, by the name the operator wrote."""
    wrong = {
        "HARO_POLL_INTERVAL_S": "soon",
        "HARO_STALL_S": "-1",
        "HARO_HTTP_ATTEMPTS": "0",
        "HARO_CLIP_FORMAT": "mp3",
        "HARO_LOG_LEVEL": "LOUD",
        "HARO_KEEP_DAYS": "inf",
        "HARO_LOCK_S": "nan",
        "HARO_MAX_CLIP_BYTES": "1.5",
    }
    unknown = ("HARO_DATA_DIR", "HARO_MODERATOR_CHANNEL", "haro_polling")
    for name, value in wrong.items():
        monkeypatch.setenv(name, value)
    for name in unknown:
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("HARO_LATE_S", "30")

    with pytest.raises(SettingsError) as caught:
        load_settings()
    message = str(caught.value)
    told = [part.partition(":")[0] for part in message.removeprefix("wrong settings: ").split("; ")]
    assert sorted(told) == sorted((*wrong, *unknown))
    assert "HARO_DATA_DIR: is no setting of Haro's (docs/settings.md lists them)" in message
    assert "HARO_CLIP_FORMAT: Input should be 'flac' or 'wav'" in message


def test_an_unknown_name_alone_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt setting is never silently without effect."""
    monkeypatch.setenv("HARO_KEEPDAYS", "30")

    with pytest.raises(SettingsError, match=r"^wrong settings: HARO_KEEPDAYS: is no setting"):
        load_settings()


@pytest.mark.parametrize("name", [name for name, (_, value) in GIVEN.items() if isinstance(value, float)])
@pytest.mark.parametrize("value", ["inf", "-inf", "nan", "1e300", "-1"])
def test_no_number_is_without_bounds(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """What is no number of seconds, days or bytes that a clock can reach is told before anything starts."""
    monkeypatch.setenv(variable_name(name), value)

    with pytest.raises(SettingsError, match=f"^wrong settings: {variable_name(name)}: Input should be"):
        load_settings()


def test_what_the_command_line_gives_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """An option wins over the environment; an option not given (None) leaves the environment's value."""
    monkeypatch.setenv("HARO_DATA", "from-environment")
    monkeypatch.setenv("HARO_STALL_S", "60")

    settings = load_settings(data=Path("from-option"), stall_s=None, model=None)

    assert (settings.data, settings.stall_s, settings.model) == (Path("from-option"), 60.0, None)


def test_a_wrong_option_is_told_like_a_wrong_variable() -> None:
    """What the command line hands on is checked by the same rules."""
    with pytest.raises(SettingsError, match=r"HARO_POLL_INTERVAL_S: Input should be greater than or equal to 0\.05"):
        load_settings(poll_interval_s=0.01)


@pytest.mark.parametrize(
    ("text", "urls"),
    [
        ("json://one", ["json://one"]),
        ("  json://one\n\tmailto://two   json://one ", ["json://one", "mailto://two", "json://one"]),
        ("mailto://u:p,w@host?to=a,b", ["mailto://u:p,w@host?to=a,b"]),
        ('["json://one"]', ['["json://one"]']),
        ("   ", []),
    ],
)
def test_channels_are_separated_by_spaces_alone(monkeypatch: pytest.MonkeyPatch, text: str, urls: list[str]) -> None:
    """Spaces and line ends separate channels; commas, which URLs may hold, do not, and nothing is read as JSON."""
    monkeypatch.setenv("HARO_MODERATOR_CHANNELS", text)

    assert [url.get_secret_value() for url in load_settings().moderator_channels] == urls


@pytest.mark.parametrize("audience", ["MODERATOR", "SUBSCRIBER", "ORCASITE"])
def test_a_vault_reference_that_was_not_resolved_is_no_channel(monkeypatch: pytest.MonkeyPatch, audience: str) -> None:
    """Azure hands on the reference itself when it could not read the secret: told as such, with what to do."""
    monkeypatch.setenv(f"HARO_{audience}_CHANNELS", "@Microsoft.KeyVault(VaultName=kv-a;SecretName=moderator-channels)")

    with pytest.raises(SettingsError, match=r"was not resolved.*restart the app") as caught:
        load_settings()
    assert str(caught.value).startswith(f"wrong settings: HARO_{audience}_CHANNELS: the reference to the Key Vault")
    assert "kv-a" not in str(caught.value)


def test_no_secret_is_ever_shown(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Channels' addresses are in no text of the settings, of their dump, or of an error about them or about others."""
    for audience in ("MODERATOR", "SUBSCRIBER", "ORCASITE"):
        monkeypatch.setenv(f"HARO_{audience}_CHANNELS", "mailto://user:SESAME@host")
    caplog.set_level(logging.DEBUG)
    settings = load_settings()
    shown = [repr(settings), str(settings), settings.model_dump_json(), repr(settings.moderator_channels)]

    for overrides in ({"stall_s": -1}, {"moderator_channels": [["SESAME"]]}, {"subscriber_channels": {"SESAME": 1}}):
        with pytest.raises(SettingsError) as caught:
            load_settings(**overrides)
        shown += traceback.format_exception(caught.value)
    with pytest.raises(ValidationError) as direct:
        Settings(moderator_channels=[["SESAME"]])
    shown += traceback.format_exception_only(direct.value)
    logging.getLogger(__name__).warning("settings: %s", settings)

    assert "SESAME" not in "\n".join((*shown, caplog.text))


def test_settings_cannot_be_changed() -> None:
    """Settings are read once; what a process does follows from what it read."""
    settings = load_settings()

    with pytest.raises(ValidationError):
        settings.stall_s = 1.0  # type: ignore[misc]  # the mistake is what is tested
