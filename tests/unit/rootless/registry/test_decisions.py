"""What the registry client decides without a network: challenges, tokens, redirects, retries,
ranges, proxies."""

import pytest

from rootless.errors import IntegrityError
from rootless.registry.authorization import (
    BasicAnswer,
    BearerAnswer,
    Credentials,
    answer_to,
    check_realm,
    read_token,
    token_request,
)
from rootless.registry.challenge import Challenge, parse_challenges
from rootless.registry.failures import DeniedError, RegistryError, problems_of
from rootless.registry.proxies import is_loopback, proxy_for
from rootless.registry.ranges import range_header, start_of_body
from rootless.registry.redirects import keeps_credentials, next_url
from rootless.registry.retrying import Attempts, Policy, retry_after

ME = Credentials("me", "secret")
SCOPE = frozenset({"repository:a:pull"})


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (['Basic realm="x"'], [("basic", {"realm": "x"})]),
        (
            ['Bearer realm="https://a/t",service="s",scope="repository:a/b:pull,push"'],
            [
                (
                    "bearer",
                    {"realm": "https://a/t", "service": "s", "scope": "repository:a/b:pull,push"},
                )
            ],
        ),
        (
            ['Negotiate, Basic realm="a, b" , charset=UTF-8, bearer REALM = x'],
            [
                ("negotiate", {}),
                ("basic", {"realm": "a, b", "charset": "UTF-8"}),
                ("bearer", {"realm": "x"}),
            ],
        ),
        (["Negotiate YWJj==, Basic"], [("negotiate", {}), ("basic", {})]),
        (
            ['Basic realm="a\\"b"', "Digest qop=auth"],
            [("basic", {"realm": 'a"b'}), ("digest", {"qop": "auth"})],
        ),
        (['Basic realm="never ends'], [("basic", {}), ("realm", {})]),
        (["", ",,", '"'], []),
    ],
)
def test_challenges_are_read_as_the_grammar_has_them(headers, expected):
    assert parse_challenges(headers) == tuple(Challenge(*each) for each in expected)


def test_tokens_come_before_passwords_and_nothing_before_an_account():
    bearer = Challenge("bearer", {"realm": "https://a/t", "scope": "repository:b:pull"})
    basic = Challenge("basic", {})
    wanted = BearerAnswer("https://a/t", "", SCOPE | {"repository:b:pull"})
    assert answer_to([basic, bearer], ME, SCOPE) == wanted
    assert answer_to([basic], ME, SCOPE) == BasicAnswer(ME)
    assert answer_to([basic], None, SCOPE) is None
    assert answer_to([Challenge("negotiate", {})], ME, SCOPE) is None


def test_password_is_not_sent_to_a_realm_in_clear_text():
    check_realm("https://a/t", "r", plain_allowed=False)
    check_realm("http://a/t", "r", plain_allowed=True)
    for realm in ("http://a/t", "file:///t", "/t", ""):
        with pytest.raises(DeniedError, match="refused"):
            check_realm(realm, "r", plain_allowed=False)


def test_token_is_asked_for_with_what_the_account_is():
    answer = BearerAnswer("https://a/t?x=1", "s", frozenset({"b", "a c"}))
    url = "https://a/t?x=1&service=s&scope=a+c&scope=b"
    assert token_request(answer, None) == (url, None, None)
    request = token_request(answer, ME)
    assert (request.url, request.authorization) == (f"{url}&account=me", ME.basic)
    request = token_request(answer, Credentials(identity_token="i&t"))
    assert request.url == "https://a/t?x=1"
    assert b"grant_type=refresh_token&refresh_token=i%26t" in request.form


def test_token_lives_a_minute_at_least():
    assert read_token(b'{"token": "t"}', 100, "r").expires == 155
    assert read_token(b'{"access_token": "t", "expires_in": 300}', 100, "r") == ("t", 395)
    assert read_token(b'{"token": "t", "expires_in": 1}', 100, "r").expires == 155
    for body in (b"", b"[]", b'{"token": 1}', b'{"token": "a\\nb"}', b"[" * 100_000):
        with pytest.raises(RegistryError, match="did not return a token"):
            read_token(body, 100, "r")


def test_secrets_are_not_shown():
    assert "secret" not in repr(ME)
    assert "abc" not in repr(read_token(b'{"token": "abc"}', 0, "r"))


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/x", "https://a:5000/x"),
        ("https://b/x?y", "https://b/x?y"),
        ("y", "https://a:5000/v2/y"),
        ("//c/d", "https://c/d"),
    ],
)
def test_redirect_leads_on(location, target):
    assert next_url("https://a:5000/v2/z", location, ()) == target


@pytest.mark.parametrize(
    ("location", "seen"),
    [
        (None, ()),
        ("http://a/x", ()),
        ("file:///etc/passwd", ()),
        ("https://", ()),
        ("https://[", ()),
        ("/z", ()),
        ("/y", ("https://a/y",)),
        ("/n", tuple(f"https://a/{i}" for i in range(10))),
    ],
)
def test_redirect_that_is_not_good_is_refused(location, seen):
    with pytest.raises(RegistryError):
        next_url("https://a/z", location, seen)


def test_credentials_stay_with_their_origin():
    assert keeps_credentials("https://a/x", "https://a:443/y")
    for other in ("https://b/x", "http://a/x", "https://a:444/x", "https://a.b/x", "https://b@c/x"):
        assert not keeps_credentials("https://a/x", other)


def test_waits_grow_with_jitter_up_to_a_bound():
    attempts = Attempts(Policy(attempts=5, first=1, longest=3), lambda: 1.0)
    assert [attempts.delay() for _ in range(5)] == [1, 2, 3, 3, None]
    attempts = Attempts(Policy(attempts=5, first=1, longest=3), lambda: 0.0)
    assert attempts.delay() == 0.5
    assert attempts.delay(asked=7) == 7
    assert attempts.delay(asked=1e9) is None


def test_progress_begins_the_count_anew():
    attempts = Attempts(Policy(attempts=2, progress=100), lambda: 0.0)
    for _ in range(10):
        assert attempts.delay() is not None
        attempts.received(100)
    assert attempts.delay() is not None
    attempts.received(99)
    assert attempts.delay() is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("7", 7),
        (" 0 ", 0),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 90),
        ("Thu, 01 Jan 1970 00:00:01 GMT", 0),
        ("soon", None),
        ("-1", None),
        ("1.5", None),
        ("", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value, seconds):
    assert retry_after(value, 10) == seconds


def test_rest_of_a_blob_starts_where_it_was_asked_for():
    def start(status, content_range, length, offset):
        return start_of_body(status, content_range, length, offset=offset, size=100, what="b")

    assert range_header(0) == {}
    assert range_header(7) == {"Range": "bytes=7-"}
    assert start(200, None, None, 7) == 0
    assert start(200, None, 100, 0) == 0
    assert start(206, "bytes 7-99/100", 93, 7) == 7
    assert start(206, "bytes 7-50/*", 44, 7) == 7
    for content_range in (None, "", "bytes 8-99/100", "bytes 7-100/100", "bytes */100", "7-9/100"):
        with pytest.raises(RegistryError):
            start(206, content_range, None, 7)
    with pytest.raises(IntegrityError):
        start(206, "bytes 7-99/101", None, 7)
    with pytest.raises(IntegrityError):
        start(200, None, 99, 0)


@pytest.mark.parametrize(
    ("url", "excluded", "used"),
    [
        ("https://a.example/x", "", True),
        ("https://a.example/x", "example", False),
        ("https://a.example/x", ".example", False),
        ("https://a.example/x", "*.example", False),
        ("https://a.example/x", "b.example, xa.example", True),
        ("https://a.example/x", "*", False),
        ("https://a.example:8443/x", "a.example:8443", False),
        ("https://a.example/x", "a.example:8443", True),
        ("https://10.1.2.3/x", "10.0.0.0/8", False),
        ("https://10.1.2.3/x", "10.1.2.3", False),
        ("https://11.1.2.3/x", "10.0.0.0/8,1.2.3", True),
        ("https://[fd00::1]/x", "fd00::/8", False),
        ("https://localhost/x", "", False),
        ("https://127.9.9.9/x", "", False),
        ("http://a.example/x", "", False),
    ],
)
def test_proxy_is_chosen_as_go_chooses_it(url, excluded, used):
    environ = {"https_proxy": "proxy:3128", "NO_PROXY": excluded}
    assert proxy_for(url, environ) == ("http://proxy:3128" if used else None)


def test_proxy_variable_of_a_web_server_is_not_believed():
    environ = {"HTTP_PROXY": "http://evil", "REQUEST_METHOD": "GET"}
    assert proxy_for("http://a.example", environ) is None


def test_loopback_is_told_by_its_form():
    assert all(map(is_loopback, ("localhost", "a.localhost", "127.0.0.1", "::1", "[::1]")))
    assert not any(map(is_loopback, ("localhost.example", "128.0.0.1", "::2", "", "1")))


def test_refusals_are_said_in_one_printable_line():
    body = b'{"errors": [{"code": "NAME_UNKNOWN", "message": "no\\n\\u001b[31m"}, 7]}'
    assert [str(each) for each in problems_of(404, body)] == ["name unknown: no  [31m"]
    assert str(problems_of(401, b"")[0]) == "unauthorized: authentication required"
    for body in (b"", b"<html>", b"[]", b'{"errors": 1}', b"[" * 100_000):
        assert str(problems_of(500, body)[0]) == "the registry answered 500"
