"""What the exchange does by itself when a price is reached: stops, take-profits, conditional orders, liquidation."""

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from stakan.adapters.exchanges.simulated.checks import Refused, check_position, check_protection
from stakan.adapters.exchanges.simulated.desk import NO_ORDER, Desk
from stakan.adapters.exchanges.simulated.matching import NEVER
from stakan.adapters.exchanges.simulated.orders import LiveOrder, Stage
from stakan.core.domain.commands import SetProtection
from stakan.core.domain.events import FillOrigin, ProtectionRejected
from stakan.core.domain.ids import VenueOrderId
from stakan.core.domain.orders import Trigger, TriggerDirection, TriggerSource
from stakan.core.domain.units import Ticks


class Protection:
    """Watches prices for one owner in one instrument."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.rules = desk.rules
        self._position = desk.position

    def set(self, command: SetProtection, ts: int) -> None:
        """A request to put, move or clear stop and take-profit arrives."""
        desk, position = self._desk, self._position
        try:
            check_position(position.lots)
            check_protection(
                desk.reference, position.side, command.stop_loss, command.take_profit, position.trigger_source
            )
        except Refused as refused:
            desk.outbox.add(
                ProtectionRejected(
                    ts_event=ts, ts_recv=desk.outbox.seen(ts), instrument=self.rules.id, why=str(refused)
                )
            )
            return
        desk.protect(command.stop_loss, command.take_profit, "set by its owner", ts)

    def check(self, ts: int) -> None:
        """Let everything happen whose price is reached, then tell matching what to watch for.

        Without a known book nothing happens: the recording is interrupted, not the market.
        """
        while self._desk.matching.is_live and self._act(ts):
            pass
        self._watch()

    def _act(self, ts: int) -> bool:
        """Do the first thing that is due; returns whether there was one."""
        if self._is_liquidated():
            self._liquidate(ts)
            return True
        origin = self._exit_origin()
        if origin is not None:
            self._exit(origin, ts)
            return True
        for order in self._conditionals():
            assert order.request.trigger is not None
            if self._is_reached(order.request.trigger):
                self._desk.trigger(order, ts)
                return True
        return False

    def _is_liquidated(self) -> bool:
        limit = self._desk.account.liquidation_price(self.rules, self._desk.terms)
        mark = self._desk.reference.mark
        if limit is None or mark is None:
            return False
        return mark <= limit if self._position.lots > 0 else mark >= limit

    def _liquidate(self, ts: int) -> None:
        """Cancel the symbol's orders, then the position is taken over at its bankruptcy price."""
        desk, position = self._desk, self._position
        for order in list(desk.orders.values()):
            desk.drop(order, "liquidation", ts)
        price = desk.account.takeover_price(self.rules, desk.terms)
        venue_order_id = VenueOrderId(f"sim-{desk.outbox.next_key()}")
        desk.execute(
            NO_ORDER, venue_order_id, position.side.opposite, price, abs(position.lots), ts, FillOrigin.LIQUIDATION
        )
        desk.settle(ts)

    def _exit_origin(self) -> FillOrigin | None:
        position = self._position
        if not position.lots:
            return None
        triggers = self._exit_triggers()
        if triggers[0] is not None and self._is_reached(triggers[0]):
            return FillOrigin.STOP_LOSS
        if triggers[1] is not None and self._is_reached(triggers[1]):
            return FillOrigin.TAKE_PROFIT
        return None

    def _exit(self, origin: FillOrigin, ts: int) -> None:
        """The leg is spent whether or not it finds enough to take inside the band, as it is on the exchange."""
        self._desk.exit_at_market(origin, ts)
        self._desk.protect(None, None, f"{origin.value} triggered", ts)
        self._desk.settle(ts)

    def _exit_triggers(self) -> tuple[Trigger | None, Trigger | None]:
        """The position's stop and take-profit as triggers."""
        position = self._position
        against, along = TriggerDirection.FALLS, TriggerDirection.RISES
        if position.lots < 0:
            against, along = along, against
        return (
            self._trigger(position.stop_loss, against),
            self._trigger(position.take_profit, along),
        )

    def _trigger(self, price: Ticks | None, direction: TriggerDirection) -> Trigger | None:
        return None if price is None else Trigger(price, direction, self._position.trigger_source)

    def _is_reached(self, trigger: Trigger) -> bool:
        watched = self._desk.reference.price(trigger.source)
        if watched is None:
            return False
        price = self.rules.price(trigger.price)
        return watched >= price if trigger.direction is TriggerDirection.RISES else watched <= price

    def _conditionals(self) -> list[LiveOrder]:
        return [order for order in self._desk.orders.values() if order.stage is Stage.UNTRIGGERED]

    def _watch(self) -> None:
        """The tightest bounds of last price and (where it stands in for the mark) mid at which something is due."""
        last, mid = [-NEVER, NEVER], [-NEVER, NEVER]
        for trigger in self._triggers():
            rises = trigger.direction is TriggerDirection.RISES
            if trigger.source is TriggerSource.LAST:
                _tighten(last, trigger.price, rises)
            elif self._desk.reference.watches_mid(trigger.source):
                _tighten(mid, 2 * trigger.price, rises)
        limit = self._desk.account.liquidation_price(self.rules, self._desk.terms)
        if limit is not None and self._desk.reference.watches_mid(TriggerSource.MARK):
            double = 2 * limit / self.rules.tick_size
            is_short = self._position.lots < 0
            rounding = ROUND_CEILING if is_short else ROUND_FLOOR
            _tighten(mid, int(Decimal(double).to_integral_value(rounding)), is_short)
        self._desk.matching.watch_last(*last)
        self._desk.matching.watch_mid(*mid)

    def _triggers(self) -> list[Trigger]:
        found = [order.request.trigger for order in self._conditionals()]
        found += self._exit_triggers() if self._position.lots else ()
        return [trigger for trigger in found if trigger is not None]


def _tighten(bounds: list[int], price: int, rises: bool) -> None:
    """Narrow [low, high] by one more bound."""
    if rises:
        bounds[1] = min(bounds[1], price)
    else:
        bounds[0] = max(bounds[0], price)
