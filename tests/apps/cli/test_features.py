"""`stakan features` and the page that it writes."""

from pathlib import Path

import msgspec
from typer.testing import CliRunner

from stakan.apps.cli.main import app
from stakan.apps.wiring import FEATURE_SETS
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
    rows = msgspec.json.decode(said("--json"))
    assert len(rows) == 110
    assert rows[20]["name"] == "order_flow_imbalance"
    assert rows[20]["window"] == "10 s"
    assert "order_flow_imbalance" in said()


def test_further_sets_are_listed_and_have_a_section_each():
    page, listed = PAGE.read_text(), said()
    for name in names(FEATURE_SETS):
        spec = load(FEATURE_SETS, FeatureSet, name, {})
        assert f"### `{name}`\n\nVersion `{spec.version}`" in page
        for key in spec.definitions:
            assert f"| `{key}` |" in page
            assert f"{name}.{key} " in listed
