"""A market whose large orders are told of."""

import numpy as np
from tests.core.detectors.markets import RULES

from stakan.core.detectors import _order_kernels as kernels
from stakan.core.detectors._orders import Order
from stakan.core.domain.events import BookDelta, TradePrint
from stakan.core.domain.units import MINUTE
from stakan.core.market.densities import DensityParams
from stakan.core.market.picture import MarketPicture


class Followed:
    """The market, and the orders of a detector's state in it."""

    def __init__(self, orders):
        self.orders = orders
        self.market = MarketPicture.start(RULES, DensityParams(), MINUTE, follow_densities=False)

    def see(self, event):
        """How many orders are to be told of with this event."""
        if isinstance(event, TradePrint):
            self.market.apply_print(event)
            return 0
        self.market.apply_book(event)
        if isinstance(event, BookDelta):
            return self.orders.follow(self.market, event)
        self.orders.forget()
        return 0

    @property
    def table(self):
        return self.orders.table, self.orders.meta

    @property
    def prints(self):
        """As kernels take them."""
        tape = self.market.tape
        return tape.times, tape.prices, tape.sizes, tape.signs, tape.start, tape.end

    def told(self, ts, *, again=False):
        """The orders; they stay to be told of `again`."""
        table = (column.copy() for column in self.table) if again else self.table
        out = np.empty((kernels.TOLD, kernels.COLUMNS), np.int64)
        count = kernels.settle(*table, ts, *self.prints, out)
        return [Order(*row) for row in out[:count].tolist()]


def agreed(kernel, naive, events):
    """What both the kernel and its slow reference say of the same orders, message by message."""
    said = []
    for event in events:
        orders, found = kernel.see(event)
        assert naive.see(orders, event.ts_event) == found
        said += found
    return said
