"""One seed is one run, to the last frame, in this process and in any other."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec

import stakan
from stakan.apps.dst.plan import draw
from stakan.apps.dst.world import World

SECONDS = 12.0
_PROGRAM = """
import msgspec
from stakan.apps.dst.plan import draw
from stakan.apps.dst.world import World
print(World(msgspec.structs.replace(draw(11), seconds=12.0)).run().fingerprint)
"""


def fingerprint(seed):
    return World(msgspec.structs.replace(draw(seed), seconds=SECONDS)).run().fingerprint


def test_the_same_seed_is_the_same_run_and_another_is_another():
    assert fingerprint(11) == fingerprint(11)
    assert fingerprint(11) != fingerprint(12)


def test_what_hashes_python_draws_does_not_matter():
    here = fingerprint(11)
    source = str(Path(stakan.__file__).parent.parent)
    for drawn in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": drawn, "PYTHONPATH": source}
        done = subprocess.run(
            [sys.executable, "-c", _PROGRAM], env=environment, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == here


def test_a_plan_follows_from_its_seed_alone():
    assert draw(7) == draw(7)
    assert draw(7) != draw(8)
