"""Where the orders of a bot go, and what each choice demands of the settings."""

from enum import StrEnum

from stakan.apps.settings import Settings
from stakan.core.domain.errors import ConfigError

MAINNET, TESTNET = "mainnet", "testnet"


class Mode(StrEnum):
    """Where orders go."""

    PAPER = "paper"
    SHADOW = "shadow"
    TESTNET = "testnet"
    LIVE = "live"

    @property
    def is_at_exchange(self) -> bool:
        """Whether orders reach an exchange."""
        return self in (Mode.TESTNET, Mode.LIVE)


def settled(settings: Settings, mode: Mode, *, confirmed: bool) -> Settings:
    """The settings as the mode allows them; raises ConfigError where it does not.

    Testnet never means mainnet, live means nothing else.
    """
    name = settings.venue.environment
    if mode is Mode.TESTNET and name == MAINNET:
        venue = settings.venue.model_copy(update={"environment": TESTNET})
        return settings.model_copy(update={"venue": venue})
    if mode is Mode.LIVE and name != MAINNET:
        raise ConfigError(f"--mode live trades real money on mainnet; venue.environment is {name}: use --mode testnet")
    if mode is Mode.LIVE and not confirmed:
        raise ConfigError("--mode live trades real money: add --i-understand-this-is-real-money")
    return settings
