"""From the kernel's log of planted orders to ground truth."""

from collections.abc import Iterable

import msgspec

from stakan.adapters.synthetic._ladder_kernels import FILLED, PLACED, PRINTED, REMOVED, TAKEN, Ints
from stakan.adapters.synthetic.episodes import Episode, PlantedOrder
from stakan.adapters.synthetic.plans import Plan
from stakan.core.domain.errors import InvariantViolated
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.units import Lots, Nanos, Side, Ticks


class _Order(msgspec.Struct):
    side: int
    price: int
    size: int
    reference: int
    placed: int
    gone: int = 0
    traded: int = 0
    cancelled: int = 0

    @property
    def standing(self) -> int:
        return self.size - self.traded - self.cancelled

    def frozen(self, end: int) -> PlantedOrder:
        return PlantedOrder(
            side=Side(self.side),
            price=Ticks(self.price),
            size=Lots(self.size),
            reference=Lots(self.reference),
            placed=Nanos(self.placed),
            gone=Nanos(end if self.standing else self.gone),
            traded=Lots(self.traded),
            cancelled=Lots(self.cancelled),
        )


class Witness:
    """Follows the planned episodes of one symbol and writes down what became of them."""

    def __init__(self, instrument: InstrumentId) -> None:
        self._instrument = instrument
        self._plans: dict[int, Plan] = {}
        self._orders: dict[int, list[_Order]] = {}
        self._current: dict[tuple[int, int], _Order] = {}
        self._finished: list[Episode] = []

    def expect(self, plans: Iterable[Plan]) -> None:
        """Episodes that are about to begin."""
        for plan in plans:
            plan.rows = []
            self._plans[plan.number] = plan
            self._orders[plan.number] = []

    def watch(self, log: Ints, now: int) -> None:
        """Take in the log up to the time `now`; episodes that are over by then become truth."""
        for ts, number, order, what, side, price, lots, reference in log.tolist():
            if what != TAKEN:
                self._note(ts, (number, order), what, _Order(side, price, lots, reference, ts))
        for number in [number for number, plan in self._plans.items() if plan.end < now]:
            if not any(order.standing for order in self._orders[number]):
                self._finish(number, now, is_complete=True)

    def truth(self, now: int) -> list[Episode]:
        """Everything so far, unfinished episodes included, by start."""
        going = [self._episode(number, now, is_complete=False) for number, orders in self._orders.items() if orders]
        return sorted((*self._finished, *going), key=lambda episode: (episode.start, episode.number))

    def _note(self, ts: int, key: tuple[int, int], what: int, seen: _Order) -> None:
        if what == PLACED:
            self._orders[key[0]].append(seen)
            self._current[key] = seen
            return
        if what == PRINTED:
            self._note_cross(ts, key, seen)
            return
        order = self._current[key]
        order.gone = ts
        if what == FILLED:
            order.traded += seen.size
        elif what == REMOVED:
            order.cancelled += seen.size
        if order.standing < 0:
            raise InvariantViolated(f"{self._instrument}: planted order {key} lost more than its size at {ts}")

    def _note_cross(self, ts: int, key: tuple[int, int], seen: _Order) -> None:
        first = self._current.get(key)
        if first is None:
            seen.gone, seen.traded = ts, seen.size
            self._current[key] = seen
            self._orders[key[0]].append(seen)
        else:
            first.gone = ts

    def _finish(self, number: int, now: int, *, is_complete: bool) -> None:
        if self._orders[number]:
            self._finished.append(self._episode(number, now, is_complete=is_complete))
        del self._plans[number]
        del self._orders[number]
        for key in [key for key in self._current if key[0] == number]:
            del self._current[key]

    def _episode(self, number: int, now: int, *, is_complete: bool) -> Episode:
        plan = self._plans[number]
        orders = tuple(order.frozen(now) for order in self._orders[number])
        return Episode(
            kind=plan.kind,
            instrument=self._instrument,
            number=number,
            side=Side(plan.side),
            tier=plan.tier,
            start=min(order.placed for order in orders),
            end=max(order.gone for order in orders),
            orders=orders,
            is_manipulation=plan.kind.is_manipulation,
            is_complete=is_complete,
        )
