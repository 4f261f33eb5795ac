"""Virtual time: calls in order, clocks that lie, processes that sleep and die."""

from hypothesis import given
from hypothesis import strategies as st

from stakan.apps.dst.time import Heap, Killed, Machine, ProcessTime
from stakan.core.domain.units import MILLISECOND, SECOND

START = 1_000 * SECOND


def a_process(heap, machine=None):
    failures = []
    process = ProcessTime(heap, machine or Machine(heap), failures.append)
    return process, failures


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans())))
def test_calls_are_made_in_order_of_time_and_ties_in_the_order_of_their_planning(plans):
    heap, made = Heap(START), []
    for number, (delay, is_cancelled) in enumerate(plans):
        planned = heap.later(delay, lambda entry=(delay, number): made.append(entry))
        if is_cancelled:
            planned.cancel()
    heap.run(START + 10)
    expected = sorted((delay, number) for number, (delay, is_cancelled) in enumerate(plans) if not is_cancelled)
    assert made == expected
    assert heap.now == START + 10


def test_a_call_that_plans_another_for_the_past_makes_it_now():
    heap, made = Heap(START), []
    heap.at(START + 5, lambda: heap.at(START, lambda: made.append(heap.now)))
    heap.run(START + 6)
    assert made == [START + 5]


def test_after_each_call_somebody_may_look():
    looks = []
    heap = Heap(START)
    heap.after = lambda: looks.append(heap.now)
    heap.later(1, int)
    heap.later(2, int).cancel()
    heap.later(3, int)
    heap.run(START + 9)
    assert looks == [START + 1, START + 3]
    assert heap.calls == 2


def test_a_machine_that_stands_still_makes_up_for_it_in_order():
    heap = Heap(START)
    machine, made = Machine(heap), []
    process, _ = a_process(heap, machine)
    for delay in (1, 3, 2):
        process.timers(delay, lambda delay=delay: made.append((heap.now - START, delay)))
    machine.stall(100)
    heap.later(50, lambda: made.append((heap.now - START, "others")))
    heap.run(START + 200)
    assert made == [(50, "others"), (100, 1), (100, 2), (100, 3)]


def test_what_takes_long_within_a_call_is_over_when_its_next_call_is_made():
    heap = Heap(START)
    machine, made = Machine(heap), []
    process, _ = a_process(heap, machine)

    def slow():
        machine.stall(SECOND)
        made.append(process.now() - START >= SECOND)
        process.timers(5, lambda: made.append(heap.now - START))

    process.timers(0, slow)
    heap.run(START + 2 * SECOND)
    assert made == [True, SECOND + 5]


@given(st.lists(st.tuples(st.sampled_from(["jump", "drift", "right", "pass"]), st.integers(-10_000, 10_000))))
def test_stamps_of_a_process_only_rise_whatever_its_clock_does(deeds):
    heap = Heap(START)
    machine = Machine(heap)
    process, _ = a_process(heap, machine)
    last = process.now()
    for deed, value in deeds:
        match deed:
            case "jump":
                machine.set_back(value * MILLISECOND)
            case "drift":
                machine.drift(value)
            case "right":
                machine.right()
            case _:
                heap.run(heap.now + abs(value) * MILLISECOND)
        stamp = process.now()
        assert stamp > last
        last = stamp


def test_a_clock_that_gains_is_ahead_by_what_it_gained_and_can_be_set_right():
    heap = Heap(START)
    machine = Machine(heap)
    machine.drift(500)
    heap.run(START + 100 * SECOND)
    assert machine.wall() - heap.now == 50 * MILLISECOND
    machine.set_back(SECOND)
    assert machine.wall() - heap.now == 50 * MILLISECOND - SECOND
    machine.right()
    heap.run(START + 200 * SECOND)
    assert machine.wall() == heap.now


def test_nothing_of_a_process_that_is_gone_is_called():
    heap, made = Heap(START), []
    process, _ = a_process(heap)
    process.timers(1, lambda: made.append("timer"))
    process.call_at(process.now() + 2, lambda: made.append("call"))
    process.end()
    heap.run(START + 10)
    assert made == []


def test_a_bug_and_a_kill_end_a_process_and_not_the_simulation():
    heap = Heap(START)
    process, failures = a_process(heap)
    process.timers(1, lambda: 1 // 0)

    def killed():
        raise Killed

    process.timers(2, killed)
    heap.run(START + 10)
    assert [type(error) for error in failures] == [ZeroDivisionError, Killed]


def test_a_doomed_process_makes_so_many_calls_more():
    heap, made = Heap(START), []
    process, failures = a_process(heap)
    process.doomed_in = 2
    for number in range(4):
        process.timers(number, lambda number=number: made.append(number))
    heap.run(START + 10)
    assert made == [0, 1]
    assert [type(error) for error in failures[:1]] == [Killed]
