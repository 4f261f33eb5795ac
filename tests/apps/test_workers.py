"""Work in processes of their own comes out as in one, tells what it has done, and ends with the first that fails."""

import os
import time

import pytest

from stakan.apps.workers import each


def squared(item, told):
    told(item)
    return item * item, os.getpid()


def refusing(item, told):
    told(1)
    if item == 2:
        raise ValueError(f"{item} is not to be had")
    return item


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_item_is_done_once_and_all_that_was_told_arrives(jobs):
    told = []
    found = list(each(squared, [3, 1, 2], jobs, told.append))
    assert sorted(square for square, _ in found) == [1, 4, 9]
    assert sum(told) == 6
    assert (os.getpid() in {process for _, process in found}) == (jobs == 1)


def test_one_item_needs_no_other_process():
    assert list(each(squared, [5], 4)) == [(25, os.getpid())]


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_an_item_raises_ends_the_whole(jobs):
    with pytest.raises(ValueError, match="2 is not to be had"):
        list(each(refusing, [2, 1, 2], jobs))


def lasting(item, told):
    """Four seconds, in which it tells now and then."""
    path, number = item
    (path / str(number)).touch()
    for _ in range(40):
        time.sleep(0.1)
        told(1)
    return number


def test_who_stops_listening_waits_for_none_to_be_finished(tmp_path):
    def interrupt(more):
        if more:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        list(each(lasting, [(tmp_path, number) for number in range(12)], 2, interrupt))
    begun = {path.name for path in tmp_path.iterdir()}
    assert 0 < len(begun) <= 2
