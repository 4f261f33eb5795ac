"""`stakan doctor`: the machine's part of the checks, and the command as a user runs it."""

import asyncio
import json
import time

import pytest
from aiohttp import web
from tests.adapters.exchanges.bybit.fakes import Exchange, Time
from typer.testing import CliRunner

from stakan.adapters.exchanges.bybit.preflight import Verdict
from stakan.apps.cli.main import app
from stakan.apps.config import settings_from
from stakan.apps.doctor import examine, folder_checks


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch):
    monkeypatch.delenv("BYBIT_API_KEY", raising=False)
    monkeypatch.delenv("BYBIT_API_SECRET", raising=False)


def by_name(checks):
    return {check.name: check for check in checks}


def test_a_folder_that_can_be_written_to_and_one_that_cannot(tmp_path):
    found = by_name(folder_checks(tmp_path / "not" / "yet" / "there"))
    assert found["state folder"].verdict is Verdict.OK
    assert "ms (median)" in found["durable write"].finding
    assert list(tmp_path.iterdir()) == []
    file = tmp_path / "file"
    file.write_text("")
    (check,) = folder_checks(file)
    assert check.verdict is Verdict.FAIL
    assert check.mend


def test_a_slow_disk_is_a_warning(tmp_path):
    moments = iter(range(0, 10**12, 10**8))
    assert by_name(folder_checks(tmp_path, lambda: next(moments)))["durable write"].verdict is Verdict.WARN


def served(settings_of, env_file):
    """`examine` against an exchange on loopback that answers as the scripted one does."""

    async def main():
        exchange = Exchange(Time())
        exchange.margin_mode = "ISOLATED_MARGIN"

        async def handler(request):
            exchange.time.now = time.time_ns()
            code, result = exchange.carry(request.path, dict(request.query))
            return web.json_response({"retCode": code, "retMsg": "", "result": result})

        server = web.Application()
        server.router.add_route("*", "/{tail:.*}", handler)
        runner = web.AppRunner(server)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]
        try:
            return await asyncio.wait_for(examine(settings_of(port), env_file), 20)
        finally:
            await runner.cleanup()

    return asyncio.run(main())


@pytest.mark.parametrize("has_keys", [True, False])
def test_everything_is_examined(tmp_path, has_keys):
    env_file = tmp_path / ".env"
    if has_keys:
        env_file.write_text("BYBIT_API_KEY=key\nBYBIT_API_SECRET=secret\n")
        env_file.chmod(0o644)

    def settings(port):
        return settings_from(
            {
                "instruments": ["BTCUSDT"],
                "venue": {"environment": "local", "local_url": f"http://127.0.0.1:{port}"},
                "trade": {"state": str(tmp_path / "state")},
            }
        )

    found = by_name(served(settings, env_file))
    assert found["exchange"].verdict is found["clock"].verdict is Verdict.OK
    if has_keys:
        assert found["key rights"].verdict is found["symbol BTCUSDT"].verdict is Verdict.OK
        assert found["secrets"].verdict is Verdict.WARN
        assert all(check.verdict is not Verdict.FAIL for check in found.values())
    else:
        assert found["API key"].verdict is Verdict.WARN
        assert "key rights" not in found


def nowhere(tmp_path):
    return [
        "doctor", "--set", "venue.environment=local", "--set", "venue.local_url=http://127.0.0.1:9",
        "--set", f"trade.state={tmp_path}", "--env-file", str(tmp_path / "none"),
    ]  # fmt: skip


def test_the_command_reports_and_fails_where_something_failed(tmp_path):
    result = CliRunner().invoke(app, nowhere(tmp_path))
    assert result.exit_code == 1
    assert "not fit for trading" in result.stdout
    assert "no connection" in result.stdout


def test_the_command_speaks_json(tmp_path):
    result = CliRunner().invoke(app, [*nowhere(tmp_path), "--json"])
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert report["fit"] is False
    assert {"name", "verdict", "finding", "mend"} <= set(report["checks"][0])


def test_a_configuration_that_cannot_work_is_exit_code_2(tmp_path):
    assert CliRunner().invoke(app, [*nowhere(tmp_path), "--set", "venue.depth=17"]).exit_code == 2
    other = [*nowhere(tmp_path), "--set", "venue.local_url=ftp://x"]
    result = CliRunner().invoke(app, other)
    assert result.exit_code == 1
    assert "http" in result.stdout
