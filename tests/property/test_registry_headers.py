"""Headers of a server are parsed or refused, and never misread."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rootless.errors import RootlessError
from rootless.registry.challenge import parse_challenges
from rootless.registry.ranges import start_of_body
from rootless.registry.redirects import keeps_credentials, next_url
from rootless.registry.retrying import retry_after

TOKENS = st.text("abcdefghijklmnopqrstuvwxyz0123456789-._~", min_size=1, max_size=12)
QUOTED = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30)
CHALLENGES = st.lists(
    st.tuples(TOKENS, st.dictionaries(TOKENS, QUOTED, max_size=4)), min_size=1, max_size=4
)


@given(CHALLENGES)
def test_challenges_that_were_written_are_read(challenges):
    def quoted(text):
        return text.replace("\\", "\\\\").replace('"', '\\"')

    header = ", ".join(
        f"{scheme} " + ", ".join(f'{name}="{quoted(value)}"' for name, value in parameters.items())
        for scheme, parameters in challenges
    )
    assert [tuple(each) for each in parse_challenges([header])] == challenges


@given(st.lists(st.text(max_size=200), max_size=3))
def test_any_header_of_challenges_is_survived(headers):
    parse_challenges(headers)


@given(st.text(max_size=60))
def test_any_location_leads_to_http_or_nowhere(location):
    try:
        target = next_url("https://a.example/v2/", location, ())
    except RootlessError:
        return
    assert target.startswith("https://")
    if keeps_credentials("https://a.example/v2/", target):
        assert target.startswith(
            ("https://a.example/", "https://a.example:443/", "https://a.example?")
        )


@given(st.text(max_size=40))
def test_any_retry_after_is_a_time_to_wait_or_nothing(value):
    found = retry_after(value, 1e9)
    assert found is None or found >= 0


@given(st.text("bytes 0123456789-/*", max_size=40), st.integers(1, 100))
def test_part_that_is_taken_starts_where_it_was_asked_for(header, offset):
    try:
        start = start_of_body(206, header, None, offset=offset, size=200, what="blob")
    except RootlessError:
        return
    assert start == offset
