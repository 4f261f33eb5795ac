"""A bot and the local exchange over real sockets on loopback, computed again from the bot's journal."""

import asyncio

import msgspec
import pytest
from tests.apps.live.sockets import a_run, computed_again, eagerly, fills, orders

from stakan.adapters.journal.reading import read_events, read_header, read_recorded, read_steps
from stakan.apps.live.mode import Mode
from stakan.apps.replay import replay

pytestmark = pytest.mark.usefixtures("compiled", "keys")


def test_a_paper_run_over_sockets_has_the_fingerprint_of_its_backtest(tmp_path):
    ended, _ = asyncio.run(a_run(Mode.PAPER, tmp_path / "s", 4))
    again, _, _ = computed_again(ended.folder)
    assert ended.result.funnel.orders > 0
    assert again.fingerprint.hexdigest() == ended.result.fingerprint
    assert ended.result.data.is_synthetic


@pytest.mark.parametrize("how", [{}, {"hold_s": 30, "stop_bps": 5.5}], ids=["by time", "by stop and target"])
def test_a_run_at_the_exchange_is_backtested_to_the_same_orders_and_fills(tmp_path, how):
    ended, _ = asyncio.run(a_run(Mode.TESTNET, tmp_path / "s", 5, *eagerly(**how)))
    journal = ended.folder / "journal"
    events = [event for _, event in read_events(journal)]
    steps = list(read_steps(journal))
    assert fills(events)
    assert replay(read_header(journal), read_recorded(journal)).differences == 0
    _, again, computed = computed_again(ended.folder)
    assert orders(computed) == orders(steps)
    assert fills(again) == fills(events)


def test_shadow_sends_nothing(tmp_path):
    ended, said = asyncio.run(a_run(Mode.SHADOW, tmp_path / "s", 3))
    assert ended.result.funnel.orders > 0
    assert ended.result.funnel.fills == 0
    assert {order.status for order in ended.result.orders} == {"failed"}
    assert msgspec.json.encode(said)
