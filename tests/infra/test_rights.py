"""No keys anywhere, and no right that nobody needs."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.conftest import ROOT
from tests.infra.bicep import Resource
from tests.infra.project import TEMPLATES, infra_files
from tests.infra.rights import ALLOWS, NEEDS, ROLE_IDS, SDK_CALLS

ROLES = TEMPLATES["app/roles.bicep"]
_SECRET = re.compile(
    r"(AccountKey|SharedAccessKey|InstrumentationKey|password|client_?secret)\s*[=:]\s*['\"]?[\w+/]{8}"
    r"|[?&](sig|code)=(?!\$)[\w%]{8}|\b(?=\w*\d)(?=\w*[A-Z])[\w+/]{43,}=*",
    re.IGNORECASE,
)


def grants() -> Iterator[tuple[str, str, str]]:
    """Each role that is given: to whom (`app` or `people`), on what, and which."""
    for one in ROLES.resources:
        if not one.type.endswith("oleAssignments"):
            continue
        who = "people" if one.body["properties"]["principalId"] == "principalId" else "app"
        if one.type.startswith("Microsoft.DocumentDB"):
            yield who, one.body["properties"]["scope"].removesuffix(".id"), "cosmosDataContributor"
            continue
        for role in _roles(one):
            yield who, one.body["scope"], role


def _roles(one: Resource) -> list[str]:
    definition = str(one.body["properties"]["roleDefinitionId"])
    listed = ROLES.variables[one.each] if one.each else [definition]
    return [re.findall(r"roles\.(\w+)", str(role))[0] for role in listed]


def test_role_ids_are_those_of_the_hand_kept_table() -> None:
    """No id is mistyped, and each is used."""
    ids = {**ROLES.variables["roles"], "cosmosDataContributor": ROLES.variables["cosmosContributor"][-37:-1]}

    assert ids == ROLE_IDS
    assert {role for _, _, role in grants()} == set(ROLE_IDS)


@pytest.mark.parametrize(("who", "scope"), NEEDS)
def test_everybody_may_do_what_they_need_and_no_role_is_idle(who: str, scope: str) -> None:
    """Every need is covered by a role on that very thing, and taking any one role away would leave a need."""
    given = [role for one, place, role in grants() if (one, place) == (who, scope)]

    assert NEEDS[who, scope] <= set().union(*(ALLOWS[role] for role in given))
    for role in given:
        others = set().union(*(ALLOWS[other] for other in given if other != role))
        assert not NEEDS[who, scope] <= others, f"{role} adds nothing"


def test_nobody_has_rights_elsewhere() -> None:
    """Roles are given on a thing, never on the group or the subscription, and only where somebody needs one."""
    assert {(who, scope) for who, scope, _ in grants()} == set(NEEDS)
    for name, template in TEMPLATES.items():
        found = [one.symbol for one in template.resources if one.type.endswith("oleAssignments")]
        assert name == "app/roles.bicep" or not found


def test_people_have_rights_only_when_somebody_is_named() -> None:
    """An empty principalId gives nobody anything; the names of grants cannot collide."""
    assignments = [one for one in ROLES.resources if one.type.endswith("oleAssignments")]
    for one in assignments:
        is_people = one.body["properties"]["principalId"] == "principalId"
        assert (one.condition == "(!empty(principalId))") == is_people
        assert one.body["name"].startswith("guid(")
        assert ("principalId" if is_people else "appPrincipalId") in one.body["name"]


def test_each_call_of_an_adapter_is_covered() -> None:
    """What the adapters call is what the table of needs is about."""
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "shared/storage/azure").glob("*.py"))
    app = set().union(*(needs for (who, _), needs in NEEDS.items() if who == "app"))

    assert [call for call in SDK_CALLS if f"{call}(" not in source] == []
    assert set(SDK_CALLS.values()) <= app


@pytest.mark.parametrize(
    ("template", "resource", "expected"),
    [
        ("storage", "account", {"allowSharedKeyAccess": False, "minimumTlsVersion": "TLS1_2"}),
        ("storage", "account", {"supportsHttpsTrafficOnly": True, "allowBlobPublicAccess": "publicDetections"}),
        ("servicebus", "namespace", {"disableLocalAuth": True, "minimumTlsVersion": "1.2"}),
        ("cosmos", "account", {"disableLocalAuth": True, "disableKeyBasedMetadataWriteAccess": True}),
        ("cosmos", "account", {"minimalTlsVersion": "Tls12"}),
        ("monitoring", "insights", {"DisableLocalAuth": True}),
        ("monitoring", "workspace", {"features": {"disableLocalAuth": True}}),
        ("vault", "vault", {"enableRbacAuthorization": True, "enableSoftDelete": True}),
        ("function", "app", {"httpsOnly": True, "siteConfig": {"minTlsVersion": "1.2"}}),
        ("function", "ftp", {"allow": False}),
        ("function", "scm", {"allow": False}),
    ],
)
def test_no_door_is_open(template: str, resource: str, expected: dict[str, object]) -> None:
    """Keys, passwords and old TLS are refused by every service."""
    properties = TEMPLATES[f"app/{template}.bicep"].resource(resource).body["properties"]

    assert {name: properties[name] for name in expected} == expected


@pytest.mark.parametrize("path", infra_files(), ids=lambda path: path.name)
def test_no_file_holds_a_secret(path: object) -> None:
    """Nothing in what is committed looks like a key, a password or a signature."""
    text = (ROOT / str(path)).read_text(encoding="utf-8")

    assert [match[0] for match in _SECRET.finditer(re.sub(r"@[0-9a-f]{40}\b", "", text))] == []


@pytest.mark.parametrize(
    "secret",
    [
        "DefaultEndpointsProtocol=https;AccountKey=Zm9vYmFyZm9vYmFy",
        "SharedAccessKey=abcdefgh1234",
        "password: 'hunter2hunter2'",
        "https://x.blob.core.windows.net/a?sv=1&sig=abcdefgh%2B",
        "https://f.azurewebsites.net/api?code=abcdefgh1234",
        "key = aB3" + "x" * 41 + "==",
    ],
)
def test_a_secret_would_be_found(secret: str) -> None:
    """The search itself finds what it looks for."""
    assert _SECRET.search(secret)
