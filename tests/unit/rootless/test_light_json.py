"""light_json reads and writes what `json` does, and refuses what is not JSON."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rootless import light_json

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
)


@given(VALUES, st.booleans())
def test_dumps_writes_what_json_writes_without_blanks(value, sort_keys) -> None:
    expected = json.dumps(value, separators=(",", ":"), sort_keys=sort_keys)
    assert light_json.dumps(value, sort_keys=sort_keys) == expected.encode()


@given(VALUES.filter(lambda value: "\\ud" not in json.dumps(value)))
def test_dumps_of_more_than_ascii_writes_what_json_writes(value) -> None:
    expected = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    assert light_json.dumps(value, ascii_only=False) == expected.encode()


@given(VALUES, st.sampled_from([None, 1, "\t"]))
def test_loads_reads_what_json_reads(value, indent) -> None:
    text = json.dumps(value, indent=indent)
    assert light_json.loads(text.encode()) == json.loads(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "{",
        '{"a":1,}',
        "{'a':1}",
        "[1,2",
        "[1 2]",
        "1 2",
        "nul",
        "+1",
        "01",
        "1.",
        ".5",
        "1e",
        '"a',
        '"\x01"',
        r'"\x"',
        r'"\u12"',
        "[1]]",
        "// x\n1",
        "\ufeff1",
    ],
)
def test_loads_refuses_what_json_refuses(text) -> None:
    with pytest.raises(ValueError, match=r".") as ours:
        light_json.loads(text.encode())
    with pytest.raises(ValueError, match=r".") as theirs:
        json.loads(text)
    assert str(ours.value) == str(theirs.value)


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", '{"a":-Infinity}', "1e999", "-1e999"])
def test_loads_refuses_numbers_that_json_takes_and_rfc_8259_does_not(text) -> None:
    with pytest.raises(ValueError, match="number"):
        light_json.loads(text.encode())


@pytest.mark.parametrize("data", [b"\xff", '{"a":1}'.encode("utf-16"), '"é"'.encode("latin-1")])
def test_loads_refuses_what_is_not_utf_8(data) -> None:
    with pytest.raises(ValueError, match=r"."):
        light_json.loads(data)


@pytest.mark.parametrize("value", [{1, 2}, b"a", object(), [1, {"a": b""}], {b"a": 1}, 1j])
def test_dumps_refuses_what_json_refuses(value) -> None:
    with pytest.raises(TypeError):
        json.dumps(value)
    with pytest.raises(TypeError):
        light_json.dumps(value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_dumps_refuses_numbers_that_are_not_of_json(value) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        light_json.dumps([value])


def test_dumps_refuses_a_value_that_holds_itself() -> None:
    value: list[object] = []
    value.append(value)
    with pytest.raises(ValueError, match="Circular"):
        light_json.dumps(value)


def test_document_that_is_nested_without_end_is_refused() -> None:
    with pytest.raises(RecursionError):
        light_json.loads(b"[" * 1_000_000)
