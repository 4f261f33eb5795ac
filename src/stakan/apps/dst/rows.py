"""What the SQL projection would make of the journals of all lives, held against the exchange's orders and executions.

The projection's pure part alone: no database. What a database adds is tested where it is written.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path

from stakan.adapters.journal.disk import Disk
from stakan.adapters.journal.reading import has_begun, read_header, records_after
from stakan.adapters.sql.batch import Batch
from stakan.adapters.sql.moments import moments
from stakan.adapters.sql.projection import Fold
from stakan.adapters.sql.tables import fills, funding_payments, orders
from stakan.apps.dst.records import Mended
from stakan.apps.exchange.orders import Order
from stakan.apps.exchange.rows import ExecutionRow
from stakan.apps.recorded_run import JOURNAL_FOLDER
from stakan.core.domain.events import FillOrigin
from stakan.core.domain.ids import split_instrument_id
from stakan.core.domain.instrument import Instrument


def projected(disk: Disk, runs: Sequence[Path]) -> Batch:
    """All rows and audit entries of these runs, oldest first; raises DataError where a journal is damaged."""
    fold = Fold()
    for run in runs:
        folder = run / JOURNAL_FOLDER
        if not has_begun(folder, disk=disk):
            continue
        header = read_header(folder, disk=disk)
        fold.begin(run.name, header, carries_on=bool(header.carried_from))
        records = records_after(folder, header.first_number - 1, market=False, disk=disk)
        for moment in moments(records):
            fold.take(moment)
    return fold.take_batch()


def orders_without_record(batch: Batch, theirs: Sequence[Order], mended: Mended) -> Iterator[str]:
    """Orders at the exchange that have no row, or another filled size."""
    rows = {row["client_order_id"]: row for row in batch.inserts.get(orders, {}).values()}
    for order in theirs:
        row = rows.get(order.link_id)
        if row is None:
            yield f"order {order.link_id} has no row"
        elif not _is_all(row["filled_lots"], order.filled, may_lack=order.symbol in mended.symbols):
            yield f"order {order.link_id}: its row has {row['filled_lots']} lots filled, the exchange {order.filled}"


def executions_without_record(
    batch: Batch, theirs: Sequence[ExecutionRow], rules: Mapping[str, Instrument], mended: Mended
) -> Iterator[str]:
    """Executions that no row tells of, or only in part; and rows of executions that there never were."""
    lots: Counter[tuple[str, str]] = Counter()
    for row in batch.inserts.get(fills, {}).values():
        if row["origin"] != FillOrigin.REPAIR.value:
            lots[split_instrument_id(row["instrument"])[2], row["execution_id"]] += row["size_lots"]
    paid = {
        (split_instrument_id(row["instrument"])[2], row["execution_id"])
        for row in batch.inserts.get(funding_payments, {}).values()
    }
    known = set()
    for execution in theirs:
        key = (execution.symbol, execution.exec_id)
        known.add(key)
        if execution.exec_type == "Funding":
            is_told = key in paid or mended.may_lack(execution)
        else:
            told, done = rules[execution.symbol].size(lots[key]), Decimal(execution.exec_qty)
            is_told = _is_all(told, done, may_lack=mended.may_lack(execution))
        if not is_told:
            yield f"{execution.symbol}: execution {execution.exec_id} of {execution.exec_qty} has rows of {lots[key]} lots"
    for symbol, name in sorted((set(lots) | paid) - known):
        if lots[symbol, name] or (symbol, name) in paid:
            yield f"{symbol}: rows tell of execution {name}, which the exchange does not have"


def positions_that_differ(
    batch: Batch, theirs: Sequence[ExecutionRow], rules: Mapping[str, Instrument]
) -> Iterator[str]:
    """Instruments in which all rows of fills, those that mend included, do not come to what the executions come to."""
    told: Counter[str] = Counter()
    for row in batch.inserts.get(fills, {}).values():
        symbol = split_instrument_id(row["instrument"])[2]
        told[symbol] += row["size_lots"] if row["side"] == "buy" else -row["size_lots"]
    done = dict.fromkeys(rules, Decimal(0))
    for execution in theirs:
        if execution.exec_type != "Funding":
            size = Decimal(execution.exec_qty)
            done[execution.symbol] += size if execution.side == "Buy" else -size
    for symbol, size in done.items():
        if rules[symbol].size(told[symbol]) != size:
            yield f"{symbol}: rows of fills come to {told[symbol]} lots, the exchange's executions to {size}"


def _is_all(told: Decimal | int, done: Decimal | int, *, may_lack: bool) -> bool:
    return told <= done if may_lack else told == done
