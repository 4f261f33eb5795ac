"""Several processes that need the same kernels at once, and what is left of old ones."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from stakan.adapters.compiling import forget_others

KERNELS = """
from stakan.core.kernel import kernel

@kernel
def slow(x: float) -> float:
    return x + 1
"""
ASK = """
import sys
from stakan.adapters.compiling import take_turns
take_turns()
import shared
print("ready", flush=True)
sys.stdin.readline()
for argument in eval(sys.argv[1]):
    assert shared.slow(argument) == argument + 1
print(sum(shared.slow.stats.cache_misses.values()))
"""


def test_what_several_processes_need_at_once_is_compiled_by_one(tmp_path):
    (tmp_path / "shared.py").write_text(KERNELS)
    orders = ("(1, 1.5, 1j)", "(1j, 1.5, 1)", "(1.5, 1j, 1)")
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", ASK, order],
            cwd=tmp_path,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for order in orders
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    told = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert sum(map(int, told)) == 3


@pytest.fixture
def tried(tmp_path, monkeypatch):
    """A module of ours with a kernel that has been compiled, and the folder where that is kept."""
    file = tmp_path / "tried_kernels.py"
    file.write_text(KERNELS)
    spec = importlib.util.spec_from_file_location("stakan.tried_kernels", file)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    assert module.slow(1) == 2
    return Path(module.slow.stats.cache_path)


def test_files_of_other_versions_are_removed_and_those_of_this_one_stay(tried):
    kept = set(tried.iterdir())
    assert len(kept) >= 2
    old = tried / "tried_kernels.slow-0123456789abcdef-1.py311.1.nbc"
    gone = tried / "tried_kernels.renamed-1.py311.nbi"
    other = tried / "other_kernels.slow-1.py311.nbi"
    for file in (old, gone, other):
        file.write_bytes(b"old")
    forget_others()
    assert set(tried.iterdir()) == {*kept, other}
