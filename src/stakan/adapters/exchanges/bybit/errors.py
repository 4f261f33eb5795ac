"""Every code that Bybit v5 answers with, and what we do about it: one table, read by everything that asks.

A code says what is known about a request: that it was not carried out, that it may have been, or that what we believe
is out of date. Nothing else decides whether something is sent again.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType

import msgspec


class Kind(StrEnum):
    """What a request asks for; the same code can mean different things to different requests."""

    CREATE = "create"
    AMEND = "amend"
    CANCEL = "cancel"
    PROTECT = "protect"
    SET = "set"
    """Settings of account and symbols: leverage, margin mode, position mode."""
    QUERY = "query"


class Reaction(StrEnum):
    """What follows from an answer."""

    OK = "ok"
    """Done, or it was so already."""
    RETRY = "retry"
    """Not carried out: the same request again, with the same id, after a pause."""
    AMBIG = "ambig"
    """May have been carried out: look it up before anything else."""
    RECON = "recon"
    """What we believe is out of date: ask the exchange, do not repeat."""
    REJ = "rej"
    """Refused: the request is wrong or not allowed now."""
    RISK = "risk"
    """Refused for lack of margin or room: take less."""
    FATAL = "fatal"
    """Stop trading; a person has to act."""


class Rule(msgspec.Struct, frozen=True):
    """What a code means and what is done about it."""

    meaning: str
    reaction: Reaction
    action: str
    cancelling: Reaction | None = None
    """Of a cancel, where it differs."""
    asking: Reaction | None = None
    """Of a query, which changes nothing and may always be repeated."""

    @property
    def is_outage(self) -> bool:
        """Whether it speaks of the exchange, or the way to it, and not of the request: what breakers count."""
        return self.reaction is Reaction.AMBIG

    def reaction_to(self, kind: Kind) -> Reaction:
        """What follows for a request of this kind."""
        if kind is Kind.CANCEL and self.cancelling is not None:
            return self.cancelling
        if kind is Kind.QUERY:
            if self.asking is not None:
                return self.asking
            if self.reaction is Reaction.AMBIG:
                return Reaction.RETRY
        return self.reaction


DUPLICATE_ID = 110072
"""An order with this client id was seen before: proves that an earlier attempt arrived."""
NO_SUCH_ORDER = 110001
CLOCK_OFF = 10002
UID_LIMIT = 10006
IP_LIMIT = 10018
NODE_RESTARTS = 10019
TOO_FAST = frozenset((429, 10429, 10403, 20003))
"""Limits other than the account's own: slow down."""
NO_OPENING = frozenset((110021, 110023, 110042, 30228))
"""Of a symbol, until something there has changed."""
_OK, _RETRY, _AMBIG, _RECON = Reaction.OK, Reaction.RETRY, Reaction.AMBIG, Reaction.RECON
_REJ, _RISK, _FATAL = Reaction.REJ, Reaction.RISK, Reaction.FATAL

_ROWS: tuple[tuple[tuple[int, ...], Rule], ...] = (
    ((0,), Rule("accepted for processing", _OK, "the outcome comes on the private stream")),
    ((429, 10429), Rule("overload protection", _AMBIG, "look up; pause")),
    ((10000,), Rule("time-out inside the exchange", _AMBIG, "look up")),
    ((10001,), Rule("a parameter is wrong", _REJ, "drop; the text says which")),
    ((10002,), Rule("timestamp outside the receive window", _RETRY, "measure the clock, once more; then stop")),
    ((10003,), Rule("key is invalid or of another environment", _FATAL, "check key and environment")),
    ((10004,), Rule("signature does not match", _FATAL, "check the secret")),
    ((10005,), Rule("the key lacks a permission", _FATAL, "give the key orders and positions")),
    ((10006,), Rule("limit of the account is reached", _RETRY, "wait for the reset time")),
    ((10007, 33004, -2015), Rule("authentication failed or key expired", _FATAL, "make a new key")),
    (
        (10008, 10009, 10010, 10024, 10027, 10028, 10029),
        Rule("account, address, region or symbol is not allowed", _FATAL, "read the text; ask the exchange"),
    ),
    ((10014,), Rule("duplicate request", _RECON, "the first one decides: look it up")),
    ((10016,), Rule("server error or restart", _AMBIG, "look up")),
    ((10017,), Rule("no such route", _REJ, "our bug")),
    ((10018,), Rule("limit of the address (retired code)", _AMBIG, "no HTTP for ten minutes", asking=_REJ)),
    ((10019,), Rule("this node restarts", _RETRY, "a new connection; what is in flight is looked up")),
    ((10403, 20003), Rule("too many requests on the trade socket", _AMBIG, "slow down; look up")),
    ((10404,), Rule("unknown operation or category", _REJ, "our bug")),
    ((20001,), Rule("authenticated already", _OK, "nothing")),
    ((20006,), Rule("request id used twice", _RECON, "the first request decides: look it up")),
    ((110001,), Rule("order does not exist, or is too late", _RECON, "look it up: finished, or not visible yet")),
    ((110003, 110120, 110121), Rule("price beyond the limit", _REJ, "price anew")),
    ((110004, 110045), Rule("wallet balance too small", _RISK, "less size")),
    ((110005,), Rule("position is being liquidated or reduced", _RECON, "read the position")),
    (
        (110006, 110007, 110012, 110014, 110044, 110051, 110052, 110053),
        Rule("available margin too small", _RISK, "read the account; less size; no tight repetition"),
    ),
    ((110008, 110010), Rule("order is finished already", _REJ, "read its end", cancelling=_OK)),
    ((110009,), Rule("too many conditional orders", _REJ, "protect by the position's stop")),
    ((110011, 110039, 110040, 110046), Rule("would be liquidated at once", _RISK, "less size or leverage")),
    ((110013, 110086, 110089, 110090), Rule("leverage or size against the risk limit", _REJ, "lower them")),
    ((110017,), Rule("reduce-only and nothing to reduce", _RECON, "read the position: it is flat or smaller")),
    ((110020,), Rule("more than 500 active orders", _RISK, "cancel; look for a leak")),
    (tuple(NO_OPENING), Rule("symbol does not open positions", _REJ, "leave the symbol for a while")),
    ((110024, 110028), Rule("mode cannot change: positions or orders exist", _FATAL, "close them, then start")),
    ((110025,), Rule("position mode is so already", _OK, "nothing")),
    ((110026,), Rule("margin mode is so already", _OK, "nothing")),
    ((110027,), Rule("margin is so already", _OK, "nothing")),
    ((110029,), Rule("position mode is not supported", _FATAL, "check the account")),
    ((110032, 110034, 110037), Rule("order, position or settings are not what we believe", _RECON, "read them")),
    ((110043,), Rule("leverage is so already", _OK, "nothing")),
    (
        (110049, 110058, 110059, 110060, 110061, 110064),
        Rule("terms of order or stop are not possible", _REJ, "correct them"),
    ),
    ((110063, 110066, 110074, 110079), Rule("not possible at this moment", _RETRY, "pause, then again")),
    ((110072,), Rule("client order id was used", _RECON, "look it up; never a new id")),
    ((110073, 3400045), Rule("margin mode could not be set", _FATAL, "read the reasons")),
    ((110085,), Rule("risk limit was updated", _RETRY, "again")),
    ((110092, 110093), Rule("trigger price is on the wrong side", _REJ, "the condition is met already")),
    ((110094,), Rule("value below the minimum", _REJ, "more size")),
    ((110118,), Rule("no price for a market order", _RISK, "book too thin: limit order")),
    ((110119,), Rule("retail price improvement is not permitted", _REJ, "another time in force")),
    ((110123, 110124, 110125), Rule("trading terms or cooling-off", _FATAL, "sign or wait at the exchange")),
    ((34040,), Rule("stop and take-profit are so already", _OK, "nothing")),
    ((100028,), Rule("not for unified accounts", _REJ, "our bug")),
    ((181017,), Rule("history asked for an open status", _REJ, "our bug")),
    ((30034, 30035, 130035, 130150), Rule("busy, told by code of an older interface", _AMBIG, "look up")),
)


def _by_code(rows: Iterable[tuple[tuple[int, ...], Rule]]) -> Mapping[int, Rule]:
    return MappingProxyType({code: rule for codes, rule in rows for code in codes})


CODES: Mapping[int, Rule] = _by_code(_ROWS)
"""By `retCode`, of REST and of the trade socket (docs of Bybit v5, pages `error` and `ws/trade/guideline`)."""

STATUSES: Mapping[int, Rule] = _by_code(
    (
        ((400,), Rule("malformed request", _REJ, "our bug")),
        ((401,), Rule("key or headers are not accepted", _FATAL, "check key and environment")),
        ((403,), Rule("limit of the address, or country", _AMBIG, "no HTTP for ten minutes", asking=_REJ)),
        ((404,), Rule("no such path for this account", _REJ, "our bug, or another kind of account")),
        ((429,), Rule("overload protection", _AMBIG, "look up; pause")),
    )
)
"""By HTTP status where the answer has no `retCode` of its own."""

_UNKNOWN = Rule("unknown code", _AMBIG, "look up")
_SERVER = Rule("error inside the exchange", _AMBIG, "look up")
_TEXTS: tuple[tuple[int, str, Rule], ...] = (
    (
        10001,
        "position idx not match",
        Rule("position mode is not one-way", _FATAL, "switch the symbol to one-way"),
    ),
)
_SERVER_CODES = range(500_000, 600_000)
_SERVER_STATUSES = range(500, 600)


def rule_of(code: int, text: str = "") -> Rule:
    """The rule of a `retCode`; a few are told apart by their text. What is not known may have been carried out."""
    for known, part, rule in _TEXTS:
        if code == known and part in text.lower():
            return rule
    return CODES.get(code) or (_SERVER if code in _SERVER_CODES else _UNKNOWN)


def rule_of_status(status: int) -> Rule:
    """The rule of an HTTP status without a `retCode`."""
    return STATUSES.get(status) or (_SERVER if status in _SERVER_STATUSES else _UNKNOWN)
