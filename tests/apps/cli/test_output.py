"""What commands say on the way."""

import time

from stakan.apps.cli.output import compiling


def test_what_takes_long_is_said_on_stderr_and_what_does_not_is_not(capsys):
    with compiling():
        pass
    with compiling(quiet=True):
        time.sleep(2.2)
    assert capsys.readouterr() == ("", "")
    with compiling():
        time.sleep(2.2)
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.strip() == "compiling numeric kernels, once on this machine"
