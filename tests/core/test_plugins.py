"""Plugins are files: what counts as one, and how its parameters become values."""

import types
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stakan.core.domain.errors import ConfigError
from stakan.core.plugins import NoState, RiskRule, Strategy, build, load, names, not_numbers, spec_of


class Patient(Strategy, frozen=True, kw_only=True):
    """Never wants anything."""

    patience: float = 1.0
    lots: int = 2
    money: Decimal = Decimal(3)


class _Hidden(Strategy, frozen=True, kw_only=True):
    """Not a plugin: its name is private."""


def a_module(*classes, name="made"):
    """A module that defines these classes, whatever it imports beside them."""
    module = types.ModuleType(name)
    for kind in classes:
        setattr(module, kind.__name__, kind)
    return module


def test_a_module_s_one_public_spec_is_its_plugin():
    assert spec_of(a_module(Patient, _Hidden, Strategy, RiskRule, NoState, name=__name__), Strategy) is Patient


def test_what_a_module_imports_is_not_its_own():
    with pytest.raises(ConfigError, match="elsewhere must define one public Strategy, it defines 0"):
        spec_of(a_module(Patient, name="elsewhere"), Strategy)


@given(st.integers(-5, 5), st.integers(1, 9))
def test_parameters_are_converted_to_the_types_of_the_spec(lots, patience):
    given_as_text = build(a_module(Patient, name=__name__), Strategy, "patient", {"lots": str(lots), "money": "1.10"})
    assert given_as_text == Patient(lots=lots, money=Decimal("1.10"))
    assert build(a_module(Patient, name=__name__), Strategy, "p", {"patience": patience}).patience == float(patience)


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"patiense": 1}, "patiense"),
        ({"lots": 1.5}, "lots"),
        ({"patience": None}, "patience"),
        ({"patience": float("nan")}, "patience should be a number"),
        ({"money": "NaN"}, "money should be a number"),
    ],
)
def test_parameters_that_cannot_be_are_refused_by_plugin_and_name(parameters, says):
    with pytest.raises(ConfigError, match=f"strategy 'patient': .*{says}"):
        build(a_module(Patient, name=__name__), Strategy, "patient", parameters)


def test_what_is_not_a_number_is_named_and_infinity_is_one():
    assert not_numbers(Patient(patience=float("nan"), money=Decimal("NaN"))) == ["patience", "money"]
    assert not_numbers(Patient(patience=float("inf"), money=Decimal("Infinity"))) == []


@pytest.mark.parametrize("package", ["stakan.core.strategies", "stakan.core.risk"])
def test_files_that_begin_with_an_underscore_are_not_plugins(package):
    found = names(package)
    assert found == sorted(found)
    assert found
    assert not any(name.startswith("_") for name in found)


@pytest.mark.parametrize("name", ["_protection", "..domain.units", "os", ""])
def test_only_a_file_of_the_package_can_be_loaded(name):
    with pytest.raises(ConfigError, match="there is no riskrule named"):
        load("stakan.core.risk", RiskRule, name, {})


def test_a_spec_without_an_answer_says_so():
    with pytest.raises(TypeError, match="Patient does not implement decide"):
        Patient().decide(None, None)
    with pytest.raises(TypeError, match="RiskRule does not implement refusal"):
        RiskRule().refusal(None, None)
    assert Patient().manage(None, None, None) is None
    assert RiskRule().breach(None) is None
