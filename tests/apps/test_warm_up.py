"""After the warm-up nothing is compiled any more: not by the exchange, not by a bot."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_EXCHANGE = """
from stakan.apps.exchange.warm_up import warm_up
warm_up()
from pathlib import Path
from tests.apps.compiled import added, signatures
from tests.apps.exchange.whole_life import feeds, live
markets = feeds(Path(sys.argv[1]))
before = signatures()
assert any(before.values())
for open_market in markets:
    live(open_market)
assert not added(before), added(before)
"""
_BOT = """
import asyncio, os
from pathlib import Path
from stakan.apps.backtest import warm_up
from stakan.apps.config import load_settings
warm_up(load_settings(None, ('densities.instruments={"BTCUSDT"={min_notional=1}}',), {}))
from tests.apps.compiled import added, signatures
before = signatures()
assert any(before.values())
from stakan.apps.exchange.accounts import AccountConfig
from stakan.apps.live.mode import Mode
from tests.apps.live.sockets import a_run, a_run_until_it_holds, an_exchange
key = AccountConfig().keys[0]
os.environ |= {"BYBIT_API_KEY": key.key, "BYBIT_API_SECRET": key.secret}
folder = Path(sys.argv[1])

async def at_an_exchange():
    async with an_exchange() as url:
        return await a_run_until_it_holds(folder / "testnet", url)

asyncio.run(at_an_exchange())
ended, _ = asyncio.run(a_run(Mode.PAPER, folder / "paper", 6))
assert ended.result.funnel.orders
assert not added(before), added(before)
"""


@pytest.mark.parametrize("life", [_EXCHANGE, _BOT], ids=["exchange", "bot"])
def test_nothing_is_compiled_after_the_warm_up(life, compiled, tmp_path):
    """In a process of its own: what other tests have compiled must not hide what this one would compile."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{life}"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
