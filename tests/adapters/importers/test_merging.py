"""Many files are one stream in order, and few of them are open at a time."""

from heapq import merge
from operator import attrgetter

from hypothesis import given
from hypothesis import strategies as st

from stakan.adapters.importers.merging import merged
from stakan.core.domain.events import Ticker
from stakan.core.domain.ids import InstrumentId

TIMES = st.lists(st.lists(st.integers(0, 30), max_size=8).map(sorted), max_size=6)


def a_file(place, times):
    return [Ticker(ts_event=place, ts_recv=ts, instrument=InstrumentId("a:linear:B")) for ts in times]


@given(TIMES)
def test_it_is_the_merge_of_all_with_ties_in_the_order_of_the_files(times):
    files = [a_file(place, row) for place, row in enumerate(times)]
    expected = list(merge(*files, key=attrgetter("ts_recv")))
    got = list(merged([lambda file=file: iter(file) for file in files]))
    assert [id(event) for event in got] == [id(event) for event in expected]


def test_files_that_follow_each_other_are_open_one_at_a_time():
    is_open, most = set(), 0

    def opening(place):
        def file():
            nonlocal most
            is_open.add(place)
            most = max(most, len(is_open))
            try:
                yield from a_file(place, range(place * 10, place * 10 + 9))
            finally:
                is_open.discard(place)

        return file

    assert len(list(merged([opening(place) for place in range(50)]))) == 450
    assert most <= 2
