"""What the definitions of some features leave open."""

import msgspec

from stakan.core.domain.errors import ConfigError


class FeatureParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of one instrument's features; raises ConfigError for those that mean nothing."""

    cluster_multiple: float = 3.0
    """A level of a cluster is at least so many times the median level of its side."""
    min_cluster_volume: float = 10_000.0
    """USDT that a cluster holds at least; 0 for any."""
    reference_notional: float = 10_000.0
    """USDT whose round trip `effective_spread` costs."""
    include_open: bool = False
    """Whether the candle that is still open counts as the last one: candle features and indicators then change with
    every print, and the vector says so."""

    def __post_init__(self) -> None:
        if not self.cluster_multiple > 0:
            raise ConfigError(f"features.cluster_multiple must be positive, got {self.cluster_multiple}")
        if not self.min_cluster_volume >= 0:
            raise ConfigError(f"features.min_cluster_volume must not be negative, got {self.min_cluster_volume}")
        if not self.reference_notional > 0:
            raise ConfigError(f"features.reference_notional must be positive, got {self.reference_notional}")
