"""What the mutants take out is still there to be taken out, and the simulation is told apart from one that hides it."""

import pytest
from tests.dst.mutants import MUTANTS, SOURCE, Edit, Mutant, NoMatch, apply, copied, hunt, place, simulated


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_safeguard_stands_where_it_is_taken_out(mutant, tmp_path):
    for edit in mutant.edits:
        copy = tmp_path / edit.file
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text((SOURCE / edit.file).read_text())
    apply(mutant, tmp_path)
    for edit in mutant.edits:
        changed = (tmp_path / edit.file).read_text()
        assert changed != (SOURCE / edit.file).read_text()
        compile(changed, edit.file, "exec")


def test_mutants_have_names_of_their_own():
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)


@pytest.mark.parametrize(("text", "times"), [("", 0), ("one\ntwo\none\n", 2)])
def test_a_text_that_is_not_there_exactly_once_is_an_error(text, times, tmp_path):
    (tmp_path / "a.py").write_text(text)
    with pytest.raises(NoMatch, match=rf"a\.py has 'one' {times} times instead of once"):
        place(Edit("a.py", "one", "three"), tmp_path)


def test_a_place_is_a_file_and_a_line(tmp_path):
    (tmp_path / "a.py").write_text("zero\none\n")
    assert place(Edit("a.py", "one", "two"), tmp_path) == "a.py:2"


@pytest.mark.slow
def test_a_safeguard_that_is_gone_is_missed_at_once():
    mutant = next(one for one in MUTANTS if one.name == "sync")
    found = hunt(mutant, seeds=3)
    assert found.breach is not None
    assert (found.seed, found.breach.invariant) == (1, 6)
    assert found.places[0].startswith("apps/live/loop.py:")


@pytest.mark.slow
def test_the_first_seed_that_fails_is_the_last_one(tmp_path):
    totals = simulated(copied(next(one for one in MUTANTS if one.name == "sync"), tmp_path), 3, 1)
    assert (totals.seeds, len(totals.failed)) == (1, 1)


@pytest.mark.slow
def test_nothing_is_missed_where_nothing_was_taken_out():
    comment = Edit("apps/live/loop.py", "        # What is due by the time of the last event belongs to the run.\n", "")
    assert hunt(Mutant("comment", "", (comment,)), seeds=1).breach is None
