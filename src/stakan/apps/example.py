"""A configuration file that shows every key: made from the settings and specs themselves, so that it cannot age."""

from decimal import Decimal
from typing import Any

import msgspec

from stakan.adapters.exchanges.simulated.exchange import SimulationConfig
from stakan.adapters.exchanges.simulated.models import FeeRates
from stakan.apps.config import to_toml
from stakan.apps.sections import Section
from stakan.apps.settings import Settings
from stakan.apps.wiring import DETECTORS, FEATURE_SETS, RISK_RULES, STRATEGIES
from stakan.core.domain.patterns import PatternLibrary
from stakan.core.features.further import FeatureSet
from stakan.core.features.params import FeatureParams
from stakan.core.market.densities import DensityParams
from stakan.core.plugins import Detector, Plugin, RiskRule, Strategy, load, names


def example(settings: Settings) -> str:
    """A commented TOML file with every key and its value; loads to the same settings.

    Keys that have no value, or a default of their own that the settings leave alone, stand there commented out.
    """
    described = _descriptions()
    unset = _unset(settings)
    plugins = {
        "strategies": _parameters(STRATEGIES, Strategy),
        "feature_sets": _parameters(FEATURE_SETS, FeatureSet),
        "detectors": _parameters(DETECTORS, Detector),
        "risk": _parameters(RISK_RULES, RiskRule),
    }
    lines = ["# Every key with its default. Leave out what you do not change."]
    section = ""
    for line in to_toml(settings).splitlines():
        if line.startswith("["):
            section = line.strip("[]") + "."
        name = section.removesuffix(".") if line.startswith("[") else section + line.partition(" = ")[0]
        if name in described:
            lines.append(f"# {described[name]}")
        lines += plugins.get(name, ())
        lines.append(line)
        if line.startswith("["):
            lines += unset.get(name, ())
    return "\n".join(lines) + "\n"


_SIMULATION = SimulationConfig(fees=FeeRates(Decimal("0.0002"), Decimal("0.00055")), commands_per_second=10)
_OF_ACCOUNT = frozenset(("starting_balance", "leverage"))


def _unset(settings: Settings) -> dict[str, list[str]]:
    """Commented lines for what a section could hold and does not, by section."""
    found: dict[str, list[str]] = {}
    for name, section in settings:
        if isinstance(section, Section):
            fields = type(section).model_fields.items()
            missing = [(key, field) for key, field in fields if getattr(section, key) is None]
            found[name] = [
                line
                for key, field in missing
                for line in (f"# {field.description}", f"# {key} = {_inline(str((field.examples or [''])[0]))}")
            ]
    for name, given, defaults in (
        ("densities", settings.densities, DensityParams()),
        ("features", settings.features, FeatureParams()),
        ("patterns", settings.patterns, PatternLibrary()),
        ("simulation", settings.simulation, _SIMULATION),
    ):
        values = msgspec.to_builtins(defaults).items()
        found[name] = [f"# {key} = {_inline(value)}" for key, value in values if key not in {*given, *_OF_ACCOUNT}]
    return found


def _parameters(package: str, kind: type[Plugin]) -> list[str]:
    """Commented lines: every plugin of a package with its parameters and their defaults."""
    lines = []
    for name in names(package):
        values = msgspec.to_builtins(load(package, kind, name, {})).items()
        lines.append(f"#   {name}: {', '.join(f'{key} = {_inline(value)}' for key, value in values)}")
    return lines


def _inline(value: Any) -> str:
    """A value as TOML on one line."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_inline(item)}" for key, item in value.items()) + " }"
    return msgspec.toml.encode({"value": value}).decode().removeprefix("value = ").strip()


def _descriptions() -> dict[str, str]:
    """What every key is for, by its dotted name."""
    found: dict[str, str] = {}
    for name, field in Settings.model_fields.items():
        kind = field.annotation
        found[name] = field.description or ""
        if isinstance(kind, type) and issubclass(kind, Section):
            found[name] = (kind.__doc__ or "").strip()
            found |= {f"{name}.{key}": inner.description or "" for key, inner in kind.model_fields.items()}
    return {name: text for name, text in found.items() if text}
