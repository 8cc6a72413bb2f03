"""CSV as Go's encoding/csv reads one line of it."""

import pytest

from rootless.csv_fields import split_fields


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("", [""]),
        ("a", ["a"]),
        ("a,b,", ["a", "b", ""]),
        ('"a,b",c', ["a,b", "c"]),
        ('a,"b ""c"" d"', ["a", 'b "c" d']),
        ('"",""', ["", ""]),
        ('"a",', ["a", ""]),
        (',"a"', ["", "a"]),
        ('""""', ['"']),
    ],
)
def test_fields_are_between_commas(text, fields):
    assert split_fields(text) == fields


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('a"b', 'bare " in non-quoted field'),
        ('a,b"', 'bare " in non-quoted field'),
        ('"a', 'extraneous or missing " in quoted field'),
        ('"a"b,c', 'extraneous or missing " in quoted field'),
        ('"a""', 'extraneous or missing " in quoted field'),
    ],
)
def test_quote_out_of_place_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        split_fields(text)
