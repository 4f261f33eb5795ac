"""`stakan features` and the page that it writes."""

from pathlib import Path

import msgspec
from typer.testing import CliRunner

from stakan.apps.cli.main import app
from stakan.apps.wiring import FEATURE_SETS
from stakan.core.features.catalogue import FEATURE_NAMES, FEATURE_SET, SCHEMA_HASH, schema_hash
from stakan.core.features.further import FeatureSet
from stakan.core.plugins import load, names

PAGE = Path(__file__).parents[3] / "docs" / "features.md"


def said(*arguments):
    result = CliRunner().invoke(app, ["features", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_page_of_the_documentation_is_what_the_code_says():
    assert PAGE.read_text() == said("--markdown")


def test_all_features_are_told_with_their_definitions():
    told = msgspec.json.decode(said("--json"))
    assert (told["feature_set"], told["schema_hash"]) == (FEATURE_SET, SCHEMA_HASH)
    rows = told["features"]
    assert [row["name"] for row in rows] == list(FEATURE_NAMES)
    assert rows[20]["name"] == "order_flow_imbalance"
    assert rows[20]["window"] == "10 s"
    assert "order_flow_imbalance" in said()


def sets():
    """The sets that come with stakan, by name."""
    return {name: load(FEATURE_SETS, FeatureSet, name, {}) for name in names(FEATURE_SETS)}


def test_further_sets_are_listed_and_have_a_section_each():
    page, listed = PAGE.read_text(), said()
    for name, spec in sets().items():
        assert f"### `{name}`\n\nVersion `{spec.version}`, schema `{schema_hash(spec.definitions)}`" in page
        assert listed.index("110 nvi") < listed.index(f"{name}, version {spec.version}, ")
        for key in spec.definitions:
            assert f"| `{key}` |" in page
            assert f"{name}.{key} " in listed
        for key, value in msgspec.to_builtins(spec).items():
            assert f"`{key} = {value}`" in page
            assert f"{key} = {value}" in listed


def test_further_sets_are_told_with_all_that_is_needed_to_name_their_numbers():
    told = {one["name"]: one for one in msgspec.json.decode(said("--json"))["further_sets"]}
    assert list(told) == list(sets())
    for name, spec in sets().items():
        one = told[name]
        assert (one["version"], one["schema_hash"]) == (spec.version, schema_hash(spec.definitions))
        assert load(FEATURE_SETS, FeatureSet, name, one["parameters"]) == spec
        assert one["parameters"] == msgspec.to_builtins(spec)
        defined = [
            {"index": index, "name": key} | definition._asdict()
            for index, (key, definition) in enumerate(spec.definitions.items())
        ]
        assert one["features"] == defined


def test_a_schema_hash_is_of_names_and_their_order():
    assert len({schema_hash(some) for some in (["a", "b"], ["b", "a"], ["ab"], ["a", "b", "c"])}) == 4
