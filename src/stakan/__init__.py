"""stakan: a deterministic order-book trading system for USDT perpetual futures."""

__version__ = "0.1.0"
