"""Signatures against the vectors of the protocol's description."""

import pytest

from stakan.adapters.exchanges.bybit import auth

KEY, SECRET, WHEN, WINDOW = "TESTKEY", "TESTSECRET", "1700000000000", "5000"
BODY = b'{"category":"linear","symbol":"BTCUSDT","side":"Buy","orderType":"Limit","qty":"0.001","price":"50000"}'


@pytest.mark.parametrize(
    ("content", "signature"),
    [
        (b"category=linear&symbol=BTCUSDT", "f805ff4f3587db4ed1b8f9c5414a19ff72e32d65e2ad9708222565091809de5b"),
        (BODY, "9095dcf35ce39d4931ca88b9781de9f8973f6d26c2171bea848f8f135c66829f"),
    ],
)
def test_requests_are_signed_as_the_protocol_says(content, signature):
    assert auth.sign_request(SECRET, WHEN, KEY, WINDOW, content) == signature
    assert auth.request_headers(KEY, SECRET, int(WHEN), int(WINDOW), content)["X-BAPI-SIGN"] == signature


@pytest.mark.parametrize("expires", [1700000010000, "1700000010000"])
def test_logins_are_signed_as_the_protocol_says(expires):
    expected = "0279bab66978fa6daf097fc63b357431eb1cdb9284e64d4191876b4fe0bab24e"
    assert auth.sign_login(SECRET, expires) == expected


def test_another_byte_is_another_signature():
    spaced = BODY.replace(b",", b", ")
    assert auth.sign_request(SECRET, WHEN, KEY, WINDOW, BODY) != auth.sign_request(SECRET, WHEN, KEY, WINDOW, spaced)
