"""The wallet of one settlement currency: balance, realised P&L, fees, funding; equity, its day and its peak."""

from decimal import Decimal
from typing import Self

import msgspec

from stakan.core.domain.units import DAY
from stakan.core.portfolio.money import ZERO, minus, plus


class Ledger(msgspec.Struct, kw_only=True):
    """Money, exact to the last decimal. Holdings of spot are carried at cost within the balance.

    The risk day is UTC. The equity with which a day starts is the last one known before the first booking or marking
    of that day, so what happens first in a day already counts as that day's.
    """

    currency: str
    opening_balance: Decimal
    balance: Decimal
    realised_pnl: Decimal = ZERO
    """Gross, before fees and funding."""
    fees: Decimal = ZERO
    funding: Decimal = ZERO
    """Paid; negative when more was received."""
    corrections: Decimal = ZERO
    """What the exchange's word changed: transfers, and results that were never told."""
    unrealised_pnl: Decimal = ZERO
    """At the last mark."""
    day: int = -1
    """Days since 1970-01-01 UTC; -1 before the first event."""
    day_start_equity: Decimal
    peak_equity: Decimal

    @classmethod
    def opened(cls, currency: str, balance: Decimal) -> Self:
        """A ledger that starts with `balance`."""
        return cls(
            currency=currency,
            opening_balance=balance,
            balance=balance,
            day_start_equity=balance,
            peak_equity=balance,
        )

    def book_fill(self, realised_pnl: Decimal, fee: Decimal, now: int) -> None:
        """Gross result of the closing part and the fee of a fill (negative fee: rebate)."""
        self._begin_day(now)
        self.realised_pnl = plus(self.realised_pnl, realised_pnl)
        self.fees = plus(self.fees, fee)
        self.balance = plus(self.balance, minus(realised_pnl, fee))

    def book_funding(self, amount: Decimal, now: int) -> None:
        """Funding paid (negative: received)."""
        self._begin_day(now)
        self.funding = plus(self.funding, amount)
        self.balance = minus(self.balance, amount)

    def correct(self, balance: Decimal, now: int, *, is_transfer: bool) -> None:
        """Take over the exchange's balance. Money that was moved in or out is no result: day and peak move with it."""
        self._begin_day(now)
        change = minus(balance, self.balance)
        self.corrections = plus(self.corrections, change)
        self.balance = balance
        if is_transfer:
            self.day_start_equity = plus(self.day_start_equity, change)
            self.peak_equity = plus(self.peak_equity, change)
        self.peak_equity = max(self.peak_equity, self.equity)

    def mark(self, unrealised_pnl: Decimal, now: int) -> None:
        """Take the open positions' value in; moves the peak."""
        self._begin_day(now)
        self.unrealised_pnl = unrealised_pnl
        self.peak_equity = max(self.peak_equity, self.equity)

    def acknowledge_loss(self) -> None:
        """An operator has taken note of the day's loss: the day counts anew from the equity of now."""
        self.day_start_equity = self.equity

    @property
    def equity(self) -> Decimal:
        """Balance and unrealised P&L at the last mark."""
        return plus(self.balance, self.unrealised_pnl)

    @property
    def day_pnl(self) -> Decimal:
        """Change of equity since the UTC day began."""
        return minus(self.equity, self.day_start_equity)

    @property
    def drawdown(self) -> Decimal:
        """Peak equity less equity, as an amount; never negative."""
        return max(ZERO, minus(self.peak_equity, self.equity))

    @property
    def is_balanced(self) -> bool:
        """Invariant 8: the balance is the opening balance and corrections plus realised P&L less fees less funding."""
        costs = plus(self.fees, self.funding)
        result = minus(self.realised_pnl, costs)
        return self.balance == plus(plus(self.opening_balance, self.corrections), result)

    def _begin_day(self, now: int) -> None:
        day = now // DAY
        if day > self.day:
            self.day = day
            self.day_start_equity = self.equity
