"""What commands say while they compile."""

import time

import numba

from stakan.apps.cli.compiling import compiling


def compiled():
    """Compile something that is kept nowhere."""
    assert numba.njit(lambda x: x + 1)(1) == 2


def test_what_takes_long_is_said_on_stderr(capsys):
    with compiling():
        compiled()
        compiled()
        time.sleep(2.2)
    told = capsys.readouterr()
    assert told == ("", "compiling numeric kernels, once on this machine\n")


def test_nothing_is_said_of_what_is_quick_or_is_no_compiling_or_where_it_is_not_wanted(capsys):
    with compiling():
        compiled()
    with compiling():
        time.sleep(2.2)
    with compiling(quiet=True):
        compiled()
        time.sleep(2.2)
    assert capsys.readouterr() == ("", "")
