"""Prints the stylised facts of the demo market beside those of a recorded session, as a Markdown table.

    python bench/stylised_facts.py FOLDER_OF_RECORDED_DATA

The recorded session is BTCUSDT of Binance USD-M, 2024-07-18/19, whose messages are not conflated as Bybit's are: its
spread and depth are in the same ticks, its message rate and levels per message are another venue's.
"""

import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from stakan.adapters.importers.recording import open_recording
from stakan.adapters.instruments import recorded
from stakan.adapters.synthetic.config import demo_config
from stakan.adapters.synthetic.facts import StylisedFacts, stylised_facts
from stakan.adapters.synthetic.market import SyntheticMarket
from stakan.core.domain.batch import BatchBuilder, MarketBatch
from stakan.core.domain.ids import InstrumentId

SESSION = ("binance-l2/usdm_btcusdt_20240718.gz", "binance-l2/usdm_btcusdt_20240719.gz")
INSTRUMENT = InstrumentId("binance:linear:BTCUSDT")
_CHUNK = 10_000
_RANKS = (1, 2, 5, 10, 20)


def recorded_batches(folder: Path) -> Iterator[MarketBatch]:
    events = iter(open_recording([folder / name for name in SESSION], recorded()).events())
    builder = BatchBuilder(INSTRUMENT)
    arrival = 0
    while chunk := list(islice(events, _CHUNK)):
        for event in chunk:
            builder.add(event, arrival)
            arrival += 1
        yield builder.build()


def line(name: str, cells: list[str]) -> str:
    return f"| {name} | " + " | ".join(cells) + " |"


def table(columns: dict[str, StylisedFacts]) -> str:
    facts = list(columns.values())
    lines = [line("", list(columns)), line("---", ["---"] * len(facts))]
    for field in StylisedFacts.__struct_fields__:
        if field == "depth_profile":
            lines.extend(line(f"depth at rank {r}", [f"{f.depth_profile[r - 1]:.2f}" for f in facts]) for r in _RANKS)
        else:
            lines.append(line(field.replace("_", " "), [f"{getattr(f, field):.2f}" for f in facts]))
    return "\n".join(lines)


def main(folder: Path) -> None:
    columns = {"binance BTCUSDT, recorded": stylised_facts(recorded_batches(folder))}
    market = SyntheticMarket(demo_config())
    for which, name in enumerate(market.instruments):
        columns[name] = stylised_facts(window.batches[which] for window in market.windows())
    print(table(columns))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("say where the recorded market data is: python bench/stylised_facts.py FOLDER")
    main(Path(sys.argv[1]))
