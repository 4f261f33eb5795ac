"""The deterministic engine: `Engine.step(event) -> Step`."""

from stakan.core.engine.config import EngineConfig
from stakan.core.engine.engine import Engine

__all__ = ["Engine", "EngineConfig"]
