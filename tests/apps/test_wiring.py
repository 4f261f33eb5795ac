"""From settings to an engine's values: plugins by name and by file, thresholds of single instruments."""

from decimal import Decimal

import pytest
from tests.core.engine.builders import BTC, ETH, an_instrument

from stakan.adapters.exchanges.simulated.models import Queue
from stakan.apps.config import settings_from
from stakan.apps.sections import AccountSection, EngineSection, RecoverySection
from stakan.apps.wiring import config_hash, engine_config, own_densities, simulation_config
from stakan.core.domain.errors import ConfigError
from stakan.core.domain.events import InstrumentChanged
from stakan.core.engine import Engine, EngineConfig
from stakan.core.features.params import FeatureParams
from stakan.core.plugins import Strategy

PLUGIN = """
from stakan.core.plugins import Strategy

class {name}(Strategy, frozen=True, kw_only=True):
    \"\"\"Never wants anything.\"\"\"

    patience: float = 1.0

    def decide(self, view, state):
        return None
"""


def configured(instruments=(BTC, ETH), **table):
    return engine_config(settings_from(table), "test", instruments)


def a_strategy_file(folder, text, name="mine.py"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def from_file(path, **parameters):
    return configured(strategies=[{"name": "mine", "file": str(path), "parameters": parameters}])


def test_the_defaults_make_an_engine():
    config = configured()
    assert [name for name, _ in config.strategies] == ["imbalance", "density_breakout", "density_bounce"]
    assert len(config.risk_rules) == 5
    Engine(config, [an_instrument()])


def test_the_default_simulation_has_the_account_s_money():
    settings = settings_from({"account": {"starting_balance": "77", "leverage": 3}})
    assert simulation_config(settings).starting_balance == 77
    assert simulation_config(settings).leverage == 3


@pytest.mark.parametrize("rule", list(Queue))
def test_a_queue_model_is_written_by_its_name(rule):
    settings = settings_from({"simulation": {"queue": {"rule": rule.name.lower(), "exponent": 2.0}}})
    assert simulation_config(settings).queue.rule is rule


def test_one_strategy_runs_twice_under_two_names():
    second = {"name": "patient", "plugin": "imbalance", "parameters": {"horizon_s": 300.0}}
    config = configured(strategies=[{"name": "imbalance"}, second])
    (_, plain), (name, patient) = config.strategies
    assert name == "patient"
    assert type(plain) is type(patient)
    assert (plain.horizon_s, patient.horizon_s) == (60.0, 300.0)


@pytest.mark.parametrize("section", ["strategies", "risk"])
def test_one_name_twice_is_refused(section):
    name = "imbalance" if section == "strategies" else "exposure"
    with pytest.raises(ConfigError, match=f"{section}: '{name}' is configured twice"):
        configured(**{section: [{"name": name}, {"name": name}]})


def test_a_strategy_comes_from_a_file_of_the_user_s(tmp_path):
    config = from_file(a_strategy_file(tmp_path, PLUGIN.format(name="Mine")), patience=2)
    ((name, spec),) = config.strategies
    assert name == "mine"
    assert isinstance(spec, Strategy)
    assert spec.patience == 2.0
    Engine(config, [an_instrument()])


def test_two_files_of_one_name_do_not_mix(tmp_path):
    (tmp_path / "other").mkdir()
    first = a_strategy_file(tmp_path, PLUGIN.format(name="First"))
    second = a_strategy_file(tmp_path / "other", PLUGIN.format(name="Second"))
    config = configured(strategies=[{"name": "one", "file": str(first)}, {"name": "two", "file": str(second)}])
    assert [type(spec).__name__ for _, spec in config.strategies] == ["First", "Second"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("def decide(:\n", "invalid syntax"),
        ("import no_such_module_anywhere\n", "no_such_module_anywhere"),
        ("x = undefined_name\n", "undefined_name"),
        ("x = 1 / 0\n", "division by zero"),
        ("x = 1\n", "must define one public Strategy, it defines 0"),
        (PLUGIN.format(name="First") + PLUGIN.format(name="Second"), "it defines 2"),
    ],
)
def test_a_strategy_file_that_cannot_work_is_refused_with_its_path(tmp_path, text, says):
    path = a_strategy_file(tmp_path, text)
    with pytest.raises(ConfigError, match=says) as refused:
        from_file(path)
    assert str(path) in str(refused.value) or "mine" in str(refused.value)


def test_a_strategy_file_that_is_not_there_or_not_python_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"there is no file .*nothing\.py"):
        from_file(tmp_path / "nothing.py")
    with pytest.raises(ConfigError, match=r"mine\.txt is not a Python file"):
        from_file(a_strategy_file(tmp_path, "", name="mine.txt"))


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"strategies": [{"name": "nothing"}]}, "no strategy named 'nothing'; known: .*imbalance"),
        ({"strategies": [{"name": "imbalance", "parameters": {"stop_bsp": 1}}]}, "'imbalance': .*stop_bsp"),
        ({"strategies": [{"name": "imbalance", "parameters": {"stop_bps": "far"}}]}, "'imbalance': .*stop_bps"),
        ({"strategies": [{"name": "imbalance", "parameters": {"stop_bps": float("nan")}}]}, "'imbalance': .*stop_bps"),
        ({"risk": [{"name": "exposure", "parameters": {"max_notional": "NaN"}}]}, "'exposure': .*max_notional"),
        ({"risk": [{"name": "exposure", "parameters": {"max_notional": []}}]}, "'exposure': .*max_notional"),
        ({"densities": {"min_notinal": 1}}, "densities.min_notinal is not a known key; known: min_notional"),
        ({"densities": {"relative": "large"}}, "densities: .*relative"),
        ({"densities": {"forget": 2.0}}, "densities.forget"),
    ],
)
def test_a_plugin_or_threshold_that_cannot_work_is_refused_by_name(table, says):
    with pytest.raises(ConfigError, match=says):
        configured(**table)


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"sed": 1}, "simulation.sed is not a known key"),
        ({"seed": "x"}, "simulation: .*seed"),
        ({"queue": {"rule": "lucky"}}, "simulation: .*queue.rule"),
        ({"starting_balance": 5}, "simulation.starting_balance .*account.starting_balance"),
        ({"leverage": 5}, "simulation.leverage .*account.leverage"),
    ],
)
def test_an_assumption_of_the_simulation_that_cannot_work_is_refused_by_name(table, says):
    with pytest.raises(ConfigError, match=says):
        simulation_config(settings_from({"simulation": table}))


# --- thresholds of single instruments ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [BTC, "BTCUSDT", "linear:BTCUSDT", "test:BTCUSDT"])
def test_an_instrument_overrides_single_thresholds_by_full_or_short_name(name):
    config = configured(densities={"relative": 7.0, "instruments": {name: {"min_notional": 5_000_000}}})
    assert config.densities_of(BTC).min_notional == 5_000_000
    assert config.densities_of(BTC).relative == 7.0
    assert config.densities_of(ETH) == config.densities
    assert config.densities.min_notional == 200_000
    assert config.densities.relative == 7.0


def test_the_engine_tests_each_instrument_by_its_own_thresholds():
    config = configured(densities={"instruments": {"BTCUSDT": {"min_notional": 5_000_000}}}, strategies=[])
    engine = Engine(config, [an_instrument(), an_instrument(ETH)])

    def thresholds(key):
        return engine.state.instruments[key].market.densities.params.min_notional

    assert (thresholds(BTC), thresholds(ETH)) == (5_000_000, 200_000)
    engine.step(InstrumentChanged(instrument=BTC, ts_event=1, ts_recv=1, rules=an_instrument(tick_size=Decimal("0.5"))))
    assert thresholds(BTC) == 5_000_000


def test_a_full_id_may_name_an_instrument_that_the_run_does_not_trade():
    config = configured(instruments=[ETH], densities={"instruments": {BTC: {"relative": 2.0}}})
    assert config.densities_of(ETH) == config.densities


def test_a_short_name_that_means_nothing_or_two_things_is_refused():
    table = {"densities": {"instruments": {"BTCUSDT": {"relative": 2.0}}}}
    with pytest.raises(ConfigError, match=r"densities\.instruments\.BTCUSDT: no instrument 'BTCUSDT'"):
        configured(instruments=[ETH], **table)
    with pytest.raises(ConfigError, match=r"densities\.instruments\.BTCUSDT: .* ambiguous"):
        configured(instruments=[BTC, "other:linear:BTCUSDT"], **table)


def test_two_names_of_one_instrument_are_refused():
    table = {"instruments": {"BTCUSDT": {"relative": 2.0}, BTC: {"relative": 3.0}}}
    with pytest.raises(ConfigError, match="configured twice"):
        configured(densities=table)


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"instruments": 3}, r"densities\.instruments should hold tables"),
        ({"instruments": {"BTCUSDT": 3}}, r"densities\.instruments\.BTCUSDT should be a table"),
        ({"instruments": {"BTCUSDT": {"relativ": 3}}}, r"densities\.instruments\.BTCUSDT\.relativ is not a known key"),
        ({"instruments": {"BTCUSDT": {"relative": "x"}}}, r"densities\.instruments\.BTCUSDT: .*relative"),
        ({"instruments": {"BTCUSDT": {"forget": 2}}}, r"densities\.instruments\.BTCUSDT: .*forget"),
    ],
)
def test_a_threshold_of_an_instrument_that_cannot_work_is_refused_by_name(table, says):
    with pytest.raises(ConfigError, match=says):
        configured(densities=table)


def test_names_of_instruments_are_known_before_a_run():
    assert own_densities(settings_from({"densities": {"instruments": {"X": {"share": 0.5}}}})) == {"X": {"share": 0.5}}
    assert own_densities(settings_from({})) == {}


def test_equal_settings_have_one_hash_and_others_another():
    assert config_hash(settings_from({})) == config_hash(settings_from({}))
    assert config_hash(settings_from({})) != config_hash(settings_from({"account": {"name": "other"}}))


def test_what_features_leave_open_is_configured_by_name():
    assert not configured().features.include_open
    assert configured(features={"include_open": True, "cluster_multiple": 4}).features == FeatureParams(
        include_open=True, cluster_multiple=4.0
    )
    with pytest.raises(ConfigError, match=r"features\.include_opened is not a known key"):
        configured(features={"include_opened": True})


# --- every key reaches the engine -------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", sorted(EngineSection.model_fields))
def test_every_key_of_the_engine_reaches_the_engine(key):
    default = EngineSection.model_fields[key].default
    other = "2h" if isinstance(default, str) else default / 2
    assert configured(engine={key: other}) != configured()


def test_every_number_of_the_engine_has_a_key():
    numbers = {name for name, value in zip(EngineConfig.__struct_fields__, DEFAULTS, strict=True) if is_number(value)}
    keys = {*EngineSection.model_fields, *AccountSection.model_fields, *RecoverySection.model_fields}
    assert {name.removesuffix("_ns") for name in numbers} <= keys


DEFAULTS = tuple(getattr(EngineConfig(), name) for name in EngineConfig.__struct_fields__)


def is_number(value):
    return isinstance(value, int | float | Decimal)
