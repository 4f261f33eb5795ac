"""What is kept of a kernel is used again as long as nothing that goes into it has changed, in whatever file it stands."""

import os
import subprocess
import sys

import numpy as np
import pytest

from stakan.core.kernel import kernel

CALLEE = """
from stakan.core.kernel import kernel
from sizes import STEP

@kernel
def once(x: int) -> int:
    return x + STEP
"""
CALLER = """
from stakan.core.kernel import kernel
from callee import once

@kernel
def twice(x: int) -> int:
    return once(once(x))
"""
ASK = "import caller; print(caller.twice(1), sum(caller.twice.stats.cache_misses.values()))"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "sizes.py").write_text("STEP = 1\n")
    (tmp_path / "callee.py").write_text(CALLEE)
    (tmp_path / "caller.py").write_text(CALLER)
    return tmp_path


def asked(folder, **more):
    """What the caller gives for 1, and how often it was compiled for that, in a new process."""
    # Python's own cache looks at times and sizes only; here files change within a moment and keep their size.
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **more}
    done = subprocess.run(
        [sys.executable, "-c", ASK], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return tuple(map(int, done.stdout.split()))


def test_a_kernel_is_compiled_once(folder):
    assert asked(folder) == (3, 1)
    assert asked(folder) == (3, 0)


def test_a_caller_is_compiled_anew_when_its_callee_changes_in_another_file(folder):
    assert asked(folder) == (3, 1)
    (folder / "callee.py").write_text(CALLEE.replace("x + STEP", "x - STEP"))
    assert asked(folder) == (-1, 1)
    (folder / "callee.py").write_text(CALLEE)
    assert asked(folder) == (3, 0)


def test_a_caller_is_compiled_anew_when_a_constant_of_its_callee_changes(folder):
    assert asked(folder) == (3, 1)
    (folder / "sizes.py").write_text("STEP = 5\n")
    assert asked(folder) == (11, 1)


def test_where_the_package_cannot_be_written_kernels_are_kept_for_the_user(folder):
    (folder / "__pycache__").write_text("no folder can be made here")
    home = folder / "home"
    for misses in (1, 0):
        assert asked(folder, HOME=str(home), XDG_CACHE_HOME=str(home / "cache")) == (3, misses)
    assert list(home.rglob("caller.twice-*.nbc"))


def test_what_cannot_be_told_is_refused():
    def uses(value):
        def function(x):
            return VALUE + x  # noqa: F821 - put in below

        made = type(function)(function.__code__, {"VALUE": value, "__name__": __name__}, "uses")
        return kernel(made)

    with pytest.raises(TypeError, match="VALUE should be a kernel"):
        uses({})
    with pytest.raises(TypeError, match="VALUE should be a kernel"):
        uses(os)
    with pytest.raises(TypeError, match="LATER should stand before it"):
        kernel(lambda x: LATER + x)  # noqa: F821 - that is the point
    assert uses(2)(1) == 3
    names = {uses(value).py_func.__qualname__ for value in (2, 3, 2.0, np.arange(2), np.arange(3))}
    assert len(names) == 5
