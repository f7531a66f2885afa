"""The templates as a whole: syntax, wiring, versions, names; what a compiler would say, as far as one can without."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from shared import __version__
from shared.settings import Settings, variable_name
from tests.conftest import ROOT
from tests.infra.bicep import Expression, Template, walk
from tests.infra.project import INFRA, MAIN, TEMPLATES, infra_files, parameters_file
from tests.infra.resource_types import RESOURCE_TYPES

by_template = pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES)


def test_every_part_is_there() -> None:
    """The checks below look at something, and each template is used by another or by the hook."""
    used = {module.path for template in TEMPLATES.values() for module in template.modules}
    hook = (INFRA / "hooks" / "postdeploy.sh").read_text(encoding="utf-8")

    assert set(TEMPLATES) == used | {"main.bicep"} | {"app/subscription.bicep"}
    assert "infra/app/subscription.bicep" in hook


@by_template
def test_the_syntax_is_right(template: Template) -> None:
    """Each file is Bicep from the first line to the last."""
    assert template.errors == ()


@pytest.mark.parametrize("path", infra_files(), ids=lambda path: path.name)
def test_every_data_file_can_be_read(path: Path) -> None:
    """JSON is JSON, with no key twice, and YAML is YAML."""
    text = path.read_text(encoding="utf-8")

    def once(pairs: list[tuple[str, object]]) -> dict[str, object]:
        assert len(dict(pairs)) == len(pairs), f"a key twice in {[key for key, _ in pairs]}"
        return dict(pairs)

    if path.suffix == ".json":
        assert json.loads(text, object_pairs_hook=once)
    elif path.suffix in {".yaml", ".yml"}:
        assert yaml.safe_load(text)
    assert text.endswith("\n")


@by_template
def test_parameters_and_variables_are_used(template: Template) -> None:
    """Nothing is declared in vain."""
    assert {*template.parameters, *template.variables} - template.used == set()


def test_modules_get_what_they_need_and_no_more() -> None:
    """Each parameter without a default is passed, each one passed is declared, and outputs that are read exist."""
    modules = {module.symbol: TEMPLATES[module.path] for module in MAIN.modules}
    for module in MAIN.modules:
        declared = modules[module.symbol].parameters
        needed = {name for name, one in declared.items() if not one.has_default}

        assert needed <= set(module.params) <= set(declared), module.path
    read = set(re.findall(r"\b(\w+)!?\.outputs\.(\w+)", (INFRA / "main.bicep").read_text(encoding="utf-8")))

    assert read
    assert {(symbol, name) for symbol, name in read if name not in modules[symbol].outputs} == set()
    assert {(symbol, name) for symbol, one in modules.items() for name in one.outputs} == read


def test_what_is_passed_fits_what_is_declared() -> None:
    """A parameter handed on from main.bicep has the type, limits and secrecy of the one it is handed to."""
    for module in MAIN.modules:
        for name, content in module.params.items():
            outer, inner = MAIN.parameters.get(str(content)), TEMPLATES[module.path].parameters[name]
            if isinstance(content, Expression) and outer is not None:
                limits = {key: value for key, value in inner.decorators.items() if key != "description"}

                assert outer.type == inner.type, f"{module.path}: {name}"
                assert limits.items() <= outer.decorators.items(), f"{module.path}: {name}"
                assert ("secure" in outer.decorators) == ("secure" in inner.decorators), f"{module.path}: {name}"


@by_template
def test_resource_types_and_versions_were_looked_up(template: Template) -> None:
    """Each type is on the list with the one version it is used with, and no preview is."""
    for one in template.all_resources():
        assert RESOURCE_TYPES[one.type][0] == one.api_version, one.type
        assert not one.api_version.endswith("preview")


def test_the_list_of_resource_types_holds_nothing_else() -> None:
    """A type that is no longer used leaves the list."""
    assert {one.type for template in TEMPLATES.values() for one in template.all_resources()} == set(RESOURCE_TYPES)


def test_a_default_lies_within_its_limits() -> None:
    """What is deployed when nothing is set is allowed."""
    for one in MAIN.parameters.values():
        allowed = one.decorators.get("allowed", ([one.default],))[0]
        least, most = (one.decorators.get(key, (one.default,))[0] for key in ("minValue", "maxValue"))
        assert not one.has_default or one.default in allowed, one.name
        assert not one.has_default or one.type != "int" or least <= one.default <= most, one.name
        assert "description" in one.decorators or one.name == "principalType", one.name


def test_azd_passes_every_parameter_with_the_same_default() -> None:
    """main.parameters.json and main.bicep agree, and what is named HARO_ there is a setting of Haro's."""
    passed = parameters_file()
    settings = {variable_name(name) for name in Settings.model_fields}

    assert set(passed) == set(MAIN.parameters)
    for name, (variable, default) in passed.items():
        one = MAIN.parameters[name]
        written = str(one.default).lower() if isinstance(one.default, bool) else str(one.default)

        assert default == (written if one.has_default else None), name
        assert not variable.startswith("HARO_") or variable in settings, variable
        assert not variable.startswith("HARO_") or one.decorators["description"][0].startswith(variable), name


def test_names_are_unlike_and_short_enough() -> None:
    """Each abbreviation is used, and no name grows over what Azure allows: the token has 13 characters."""
    abbreviations = json.loads((INFRA / "abbreviations.json").read_text(encoding="utf-8"))
    text = (INFRA / "main.bicep").read_text(encoding="utf-8")

    assert set(re.findall(r"\{abbreviations\.(\w+)", text)) == set(abbreviations)
    assert len(set(abbreviations.values())) == len(abbreviations)
    assert len(abbreviations["storageAccounts"] + "t" * 13) <= 24
    assert abbreviations["storageAccounts"].isalnum()
    assert len(abbreviations["keyVaults"] + "t" * 13) <= 24


def test_everything_carries_the_tag_of_its_environment() -> None:
    """All that may carry tags does: by them azd finds again what it made."""
    no_tags = (
        *("roleAssignments", "sqlRoleAssignments", "config", "basicPublishingCredentialsPolicies", "blobServices"),
        *("blobServices/containers", "managementPolicies", "namespaces/queues", "eventSubscriptions", "vaults/secrets"),
        "privateDnsZoneGroups",
    )
    for name, template in TEMPLATES.items():
        for one in template.all_resources():
            assert one.existing or one.type.endswith(no_tags) or "tags" in one.body, f"{name}: {one.symbol}"
    assert MAIN.variables["tags"] == {"azd-env-name": "environmentName"}


def test_the_outputs_that_others_read_are_there() -> None:
    """`haro doctor --azure`, the hook and azd find what they look for."""
    promised = {"SERVICE_BUS_NAMESPACE", "COSMOS_ENDPOINT", "BLOB_SERVICE_URI", "COSMOS_DATABASE"}
    promised |= {"FUNCTION_APP_NAME", "FUNCTION_APP_URL", "AZURE_RESOURCE_GROUP", "EVENT_TOPIC_NAME"}

    assert promised <= set(MAIN.outputs)


def test_azd_knows_the_service() -> None:
    """The service's name is the tag that azd finds the app by, in Python, from the project's root, with the hook."""
    azd = yaml.safe_load((ROOT / "azure.yaml").read_text(encoding="utf-8"))
    tags = TEMPLATES["app/function.bicep"].resource("app").body["tags"]

    service = {"project": ".", "language": "python", "host": "function", "remoteBuild": True}
    assert azd["services"] == {"haro": service}
    assert "'azd-service-name': 'haro'" in tags
    assert azd["metadata"]["template"] == f"haro@{__version__}"
    assert (ROOT / azd["infra"]["path"] / f"{azd['infra']['module']}.bicep").is_file()
    assert (ROOT / azd["hooks"]["postdeploy"]["run"]).is_file()


def test_azd_is_new_enough_for_our_ignore_file() -> None:
    """Until 1.23.13, azd took `!` in .funcignore for one more thing to leave out; the guide asks for as much."""
    azd = yaml.safe_load((ROOT / "azure.yaml").read_text(encoding="utf-8"))
    least = re.fullmatch(r">= (\d+)\.(\d+)\.(\d+)", azd["requiredVersions"]["azd"])

    assert least
    assert tuple(map(int, least.groups())) >= (1, 23, 13)
    assert f"azd-install), {'.'.join(least.groups())} or newer" in (ROOT / "docs" / "deploy.md").read_text("utf-8")


def test_flex_consumption_is_asked_for_as_it_wants_to_be() -> None:
    """Linux, Python 3.11 from functionAppConfig, no setting that Flex refuses, each group of functions by its name."""
    function = TEMPLATES["app/function.bicep"]
    config = function.resource("app").body["properties"]["functionAppConfig"]

    assert function.resource("plan").body["sku"] == {"name": "FC1", "tier": "FlexConsumption"}
    assert config["runtime"] == {"name": "python", "version": "3.11"}
    assert config["deployment"]["storage"]["authentication"]["type"] == "UserAssignedIdentity"
    assert "'function:score'" in config["scaleAndConcurrency"]["alwaysReady"]
    refused = {"FUNCTIONS_WORKER_RUNTIME", "FUNCTIONS_EXTENSION_VERSION", "WEBSITE_RUN_FROM_PACKAGE"}
    assert refused.isdisjoint(dict(walk(dict(function.variables))))
