"""The table of codes against the protocol's description, code by code."""

import pytest

from stakan.adapters.exchanges.bybit.errors import CODES, STATUSES, Kind, Reaction, rule_of, rule_of_status

DESCRIBED = {
    Reaction.OK: (0, 110025, 110026, 110027, 110043, 34040),
    Reaction.RETRY: (10002, 10006, 10019, 110063, 110066, 110074, 110079, 110085),
    Reaction.AMBIG: (429, 10429, 10000, 10016, 10403, 20003),
    Reaction.RECON: (10014, 110001, 110005, 110017, 110032, 110034, 110037, 110072),
    Reaction.RISK: (
        *(110004, 110045, 110006, 110007, 110012, 110014, 110044, 110051, 110052, 110053),
        *(110011, 110046, 110039, 110040, 110020, 110118),
    ),
    Reaction.REJ: (
        *(10001, 10017, 10404, 110003, 110008, 110010, 110009, 110013, 110086, 110089, 110090),
        *(110021, 110023, 110042, 30228, 110049, 110058, 110059, 110060, 110061, 110064),
        *(110092, 110093, 110094, 110119, 110120, 110121, 100028, 181017),
    ),
    Reaction.FATAL: (
        *(10003, 10004, 10005, 10007, 33004, -2015, 10008, 10009, 10024, 10027, 10028, 10029, 10010),
        *(110024, 110028, 110029, 110073, 3400045, 110123, 110124, 110125),
    ),
}


@pytest.mark.parametrize(("reaction", "code"), [(r, code) for r, group in DESCRIBED.items() for code in group])
def test_every_described_code_has_its_reaction(reaction, code):
    rule = CODES[code]
    assert rule.reaction_to(Kind.CREATE) is reaction
    assert rule.meaning
    assert rule.action


def test_the_rest_of_the_table_is_known_by_name():
    described = {code for group in DESCRIBED.values() for code in group}
    assert set(CODES) - described == {10018, 20001, 20006, 30034, 30035, 130035, 130150}


@pytest.mark.parametrize("code", [110008, 110010])
def test_a_finished_order_is_what_a_cancel_wanted(code):
    assert CODES[code].reaction_to(Kind.CANCEL) is Reaction.OK
    assert CODES[code].reaction_to(Kind.AMEND) is Reaction.REJ


@pytest.mark.parametrize("code", [code for code, rule in CODES.items() if rule.reaction is Reaction.AMBIG])
def test_a_query_changes_nothing_and_is_never_ambiguous(code):
    assert CODES[code].reaction_to(Kind.QUERY) in (Reaction.RETRY, Reaction.REJ)


@pytest.mark.parametrize("code", [1, 99999, 500000, 512345, -1])
def test_what_is_not_known_may_have_been_carried_out(code):
    assert rule_of(code).reaction_to(Kind.CREATE) is Reaction.AMBIG
    assert rule_of(code).reaction_to(Kind.CANCEL) is Reaction.AMBIG


def test_a_text_tells_a_wrong_position_mode_from_a_wrong_number():
    assert rule_of(10001, "position idx not match position mode").reaction is Reaction.FATAL
    assert rule_of(10001, "Qty invalid").reaction is Reaction.REJ


@pytest.mark.parametrize(
    ("status", "reaction"),
    [
        (400, Reaction.REJ),
        (401, Reaction.FATAL),
        (403, Reaction.AMBIG),
        (404, Reaction.REJ),
        (429, Reaction.AMBIG),
        (500, Reaction.AMBIG),
        (502, Reaction.AMBIG),
        (504, Reaction.AMBIG),
        (418, Reaction.AMBIG),
    ],
)
def test_http_statuses(status, reaction):
    assert rule_of_status(status).reaction_to(Kind.CREATE) is reaction
    assert STATUSES.get(status, rule_of_status(status)).meaning
