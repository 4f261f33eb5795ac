"""Tracing as it is configured: off by default, refused where it cannot work, without secrets in the file."""

import asyncio
import subprocess
import sys

import pytest

from stakan.apps.config import load_settings, settings_from, to_toml
from stakan.apps.example import example
from stakan.apps.sections import TracingSection
from stakan.apps.tracing import spans_to_collector
from stakan.core.domain.errors import ConfigError

URL = "http://127.0.0.1:4318/v1/traces"
_WITHOUT_THE_EXTRA = """
import sys
sys.modules["opentelemetry"] = None
from stakan.apps.cli.main import main
main()
"""


def test_it_is_off_by_default_and_nothing_of_it_is_imported():
    code = (
        "import asyncio, sys\n"
        "from stakan.apps.config import load_settings\n"
        "from stakan.apps.tracing import spans_to_collector\n"
        "import stakan.apps.trade\n"
        "async def spans():\n"
        "    async with spans_to_collector(load_settings(None, (), {}).tracing) as found:\n"
        "        return found\n"
        "assert asyncio.run(spans()) is None\n"
        # Redis' client looks for the part that makes metrics.
        "assert not {'opentelemetry.sdk.trace', 'opentelemetry.exporter'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_example_shows_it():
    text = example(settings_from({}))
    assert "[tracing]" in text
    assert URL in text
    assert "stakan[tracing]" in text


@pytest.mark.parametrize("words", [("config", "check"), ("trade", "--mode", "paper", "--config")])
def test_without_the_extra_a_bot_is_refused_and_the_extra_named(tmp_path, words):
    file = tmp_path / "stakan.toml"
    file.write_text(
        f'[tracing]\nendpoint = "{URL}"\n[venue]\nenvironment = "local"\nlocal_url = "http://127.0.0.1:9"\n'
    )
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT_THE_EXTRA, *words, str(file)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert "pip install 'stakan[tracing]'" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("endpoint", "what"),
    [
        ("127.0.0.1:4318", "write http://"),
        ("ftp://127.0.0.1/", "write http://"),
        ("http:///v1/traces", "write http://"),
        ("http://ann:s3cret-word@127.0.0.1/v1/traces", "leave secrets out"),
        ("http://127.0.0.1/v1/traces?token=s3cret-word", "leave secrets out"),
    ],
)
def test_an_endpoint_is_an_address_without_secrets(endpoint, what):
    with pytest.raises(ConfigError, match=f"tracing.endpoint: .*{what}") as refused:
        load_settings(None, [f'tracing.endpoint="{endpoint}"'], {})
    assert "s3cret" not in str(refused.value)


def test_headers_are_not_in_the_configuration(monkeypatch):
    monkeypatch.setenv("COLLECTOR", "authorization=s3cret-word")
    settings = load_settings(None, [f'tracing.endpoint="{URL}"', "tracing.headers_from=COLLECTOR"], {})
    assert "s3cret" not in to_toml(settings) + repr(settings) + example(settings)


def test_headers_that_are_none_are_refused_at_the_start(monkeypatch):
    monkeypatch.setenv("COLLECTOR", "s3cret-word")

    async def begin():
        async with spans_to_collector(TracingSection(endpoint=URL, headers_from="COLLECTOR")):
            raise AssertionError("it began")

    with pytest.raises(ConfigError, match="COLLECTOR should be"):
        asyncio.run(begin())
