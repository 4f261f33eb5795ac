"""What the exchange does by itself when a price is reached: stops, take-profits, conditional orders, liquidation."""

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from msgspec import UNSET

from stakan.adapters.exchanges.simulated.account import Trailing
from stakan.adapters.exchanges.simulated.checks import check_legs, check_position, check_trailing
from stakan.adapters.exchanges.simulated.desk import Desk, merged
from stakan.adapters.exchanges.simulated.matching import NEVER
from stakan.adapters.exchanges.simulated.orders import LiveOrder, Maker, Stage
from stakan.adapters.exchanges.simulated.refusals import CancelCause, ProtectionCause
from stakan.adapters.exchanges.simulated.requests import Legs, SetTradingStop
from stakan.core.domain.commands import SetProtection
from stakan.core.domain.orders import Trigger, TriggerDirection, TriggerSource
from stakan.core.domain.units import Ticks

_CAUSES = {
    Maker.STOP_LOSS: ProtectionCause.STOP_LOSS,
    Maker.TAKE_PROFIT: ProtectionCause.TAKE_PROFIT,
    Maker.TRAILING_STOP: ProtectionCause.TRAILING_STOP,
}


class Protection:
    """Watches prices for one owner in one instrument."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.rules = desk.rules
        self._position = desk.position
        self._missed: set[Maker | int] = set()
        """What was reached while there was no book: legs of the position, and keys of conditional orders."""
        self._side = 0

    def change(self, command: SetProtection | SetTradingStop, ts: int) -> None:
        """A request to put, move or clear stop, take-profit or trailing stop arrives; raises Refused."""
        desk, position = self._desk, self._position
        if isinstance(command, SetProtection):
            command = SetTradingStop(
                instrument=command.instrument, stop_loss=command.stop_loss, take_profit=command.take_profit
            )
        check_position(position.lots)
        legs = merged(position.legs, command)
        if legs != position.legs:
            check_legs(desk.reference, position.side, legs)
        trailing = self._trailing(command)
        desk.protect(legs, ProtectionCause.OWNER, ts, trailing)

    def check(self, ts: int) -> None:
        """Let everything happen whose price is reached, then tell matching what to watch for.

        Without a known book nothing happens: the recording is interrupted, not the market. What prints and marks reach
        meanwhile happens at the first book.
        """
        self._trail()
        self._forget_legs()
        if self._desk.matching.is_live:
            while self._act(ts):
                pass
            self._missed.clear()
        else:
            self._missed |= self._due()
        self._watch()

    def forget(self) -> None:
        """Nothing of the owner's is here any more."""
        self._missed.clear()

    def _forget_legs(self) -> None:
        """What a position reached that is closed or turned over is nothing to the next one."""
        side = (self._position.lots > 0) - (self._position.lots < 0)
        if side != self._side:
            self._side = side
            self._missed = {missed for missed in self._missed if not isinstance(missed, Maker)}

    def _trailing(self, command: SetTradingStop) -> Trailing | None:
        """The trailing stop that a request leaves."""
        if command.trailing is UNSET:
            return self._position.trailing
        if command.trailing is None:
            return None
        reference, side = self._desk.reference, self._position.side
        check_trailing(reference, side, command.trailing, command.activation)
        trailing = Trailing(command.trailing, command.activation)
        last = reference.price(TriggerSource.LAST)
        assert last is not None, "checked"
        trailing.follow(side, self.rules.price_nearest(last))
        return trailing

    def _trail(self) -> None:
        """Let the trailing stop follow the last print."""
        last, trailing = self._desk.matching.last, self._position.trailing
        if trailing is not None and last:
            trailing.follow(self._position.side, last)

    def _act(self, ts: int) -> bool:
        """Do the first thing that is due; returns whether there was one."""
        if Maker.LIQUIDATION in self._missed or self._is_liquidated():
            self._missed.discard(Maker.LIQUIDATION)
            self._liquidate(ts)
            return True
        for leg, trigger in self._exit_triggers():
            if leg in self._missed or self._is_reached(trigger):
                self._missed.discard(leg)
                self._exit(leg, ts)
                return True
        for order, trigger in self._conditionals():
            if order.key in self._missed or self._is_reached(trigger):
                self._desk.trigger(order, ts)
                return True
        return False

    def _due(self) -> set[Maker | int]:
        """What the prices of this moment reach."""
        due: set[Maker | int] = {leg for leg, trigger in self._exit_triggers() if self._is_reached(trigger)}
        due.update(order.key for order, trigger in self._conditionals() if self._is_reached(trigger))
        if self._is_liquidated() and not any(isinstance(missed, Maker) for missed in self._missed):
            due.add(Maker.LIQUIDATION)  # a leg that was reached before would have closed the position
        return due

    def _is_liquidated(self) -> bool:
        limit = self._desk.account.liquidation_price(self.rules.id)
        mark = self._desk.reference.mark
        if limit is None or mark is None:
            return False
        return mark <= limit if self._position.lots > 0 else mark >= limit

    def _liquidate(self, ts: int) -> None:
        """Cancel the symbol's orders, then the position is taken over at its bankruptcy price."""
        desk = self._desk
        for order in list(desk.orders.values()):
            desk.drop(order, CancelCause.LIQUIDATION, ts)
        desk.take_over(desk.account.takeover_price(self.rules, desk.terms), ts)
        desk.settle(ts)

    def _exit(self, leg: Maker, ts: int) -> None:
        """The leg is spent whether or not it finds enough to take inside the band, as it is on the exchange."""
        self._desk.exit_at_market(leg, ts)
        self._desk.protect(Legs(), _CAUSES[leg], ts)
        self._desk.settle(ts)

    def _exit_triggers(self) -> list[tuple[Maker, Trigger]]:
        """The position's stop, trailing stop and take-profit as triggers, in the order in which they are looked at."""
        position = self._position
        if not position.lots:
            return []
        against, along = self._directions()
        legs, trailing = position.legs, position.trailing
        found = []
        if legs.stop_loss is not None:
            found.append((Maker.STOP_LOSS, Trigger(legs.stop_loss, against, legs.stop_source)))
        if trailing is not None and trailing.stop is not None:
            found.append((Maker.TRAILING_STOP, Trigger(trailing.stop, against, TriggerSource.LAST)))
        if legs.take_profit is not None:
            found.append((Maker.TAKE_PROFIT, Trigger(legs.take_profit, along, legs.take_source)))
        return found

    def _directions(self) -> tuple[TriggerDirection, TriggerDirection]:
        """Which way prices go against the position, and along with it."""
        if self._position.lots < 0:
            return TriggerDirection.RISES, TriggerDirection.FALLS
        return TriggerDirection.FALLS, TriggerDirection.RISES

    def _is_reached(self, trigger: Trigger) -> bool:
        watched = self._desk.reference.price(trigger.source)
        if watched is None:
            return False
        price = self.rules.price(trigger.price)
        return watched >= price if trigger.direction is TriggerDirection.RISES else watched <= price

    def _conditionals(self) -> list[tuple[LiveOrder, Trigger]]:
        """Orders that wait, in order of entry."""
        waiting = [order for order in self._desk.orders.values() if order.stage is Stage.UNTRIGGERED]
        return [(order, order.trigger) for order in waiting if order.trigger is not None]

    def _watch(self) -> None:
        """The tightest bounds of last price and (where it stands in for the mark) mid at which something is due."""
        last, mid = [-NEVER, NEVER], [-NEVER, NEVER]
        for trigger in self._triggers():
            rises = trigger.direction is TriggerDirection.RISES
            if trigger.source is TriggerSource.LAST:
                _tighten(last, trigger.price, rises)
            elif self._desk.reference.watches_mid(trigger.source):
                _tighten(mid, 2 * trigger.price, rises)
        limit = self._desk.account.liquidation_price(self.rules.id)
        if limit is not None and self._desk.reference.watches_mid(TriggerSource.MARK):
            double = 2 * limit / self.rules.tick_size
            is_short = self._position.lots < 0
            rounding = ROUND_CEILING if is_short else ROUND_FLOOR
            _tighten(mid, int(Decimal(double).to_integral_value(rounding)), is_short)
        if self._missed:
            mid = [NEVER, -NEVER]  # the first book is to be looked at
        self._desk.matching.watch_last(*last)
        self._desk.matching.watch_mid(*mid)

    def _triggers(self) -> list[Trigger]:
        """Everything that a price may reach, with the last price from which a trailing stop has to move."""
        found = [trigger for _, trigger in self._conditionals()]
        found += [trigger for _, trigger in self._exit_triggers()]
        trailing, side = self._position.trailing, self._position.side
        if trailing is not None:
            along = self._directions()[1]
            begins = trailing.activation if trailing.stop is None else trailing.stop + side * (trailing.distance + 1)
            assert begins is not None, "a trailing stop without activation stands from the start"
            found.append(Trigger(Ticks(begins), along, TriggerSource.LAST))
        return found


def _tighten(bounds: list[int], price: int, rises: bool) -> None:
    """Narrow [low, high] by one more bound."""
    if rises:
        bounds[1] = min(bounds[1], price)
    else:
        bounds[0] = max(bounds[0], price)
