"""The D-Bus wire format: known bytes, round trips, and garbage."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rootless.cgroups.dbus_wire import (
    ERROR,
    METHOD_CALL,
    DbusMessage,
    WireError,
    complete_types,
    decode,
    decode_values,
    encode,
    encode_values,
)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
BASIC = {
    "y": st.integers(0, 255),
    "b": st.booleans(),
    "n": st.integers(-(1 << 15), (1 << 15) - 1),
    "q": st.integers(0, (1 << 16) - 1),
    "i": st.integers(-(1 << 31), (1 << 31) - 1),
    "u": st.integers(0, (1 << 32) - 1),
    "x": st.integers(-(1 << 63), (1 << 63) - 1),
    "t": st.integers(0, (1 << 64) - 1),
    "d": st.floats(allow_nan=False),
    "s": TEXT,
    "o": TEXT,
    "g": st.sampled_from(["", "s", "a(sv)"]),
}


@st.composite
def typed(draw, depth=2):
    """A signature of one complete type, and a strategy of its values."""
    kind = draw(st.sampled_from("bavr{" if depth else "b"))
    if kind == "b":
        code = draw(st.sampled_from(sorted(BASIC)))
        return code, BASIC[code]
    if kind == "v":
        code, values = draw(typed(depth - 1))
        return "v", values.map(lambda value: (code, value))
    if kind == "r":
        parts = draw(st.lists(typed(depth - 1), min_size=1, max_size=3))
        return f"({''.join(c for c, _ in parts)})", st.tuples(*(v for _, v in parts))
    code, values = draw(typed(depth - 1))
    if kind == "{":
        key = draw(st.sampled_from("sut"))
        return f"a{{{key}{code}}}", st.lists(st.tuples(BASIC[key], values), max_size=3)
    return f"a{code}", st.lists(values, max_size=3)


@st.composite
def bodies(draw):
    parts = draw(st.lists(typed(), max_size=4))
    return "".join(code for code, _ in parts), tuple(draw(values) for _, values in parts)


def test_string_and_numbers_are_aligned_as_the_specification_says():
    assert encode_values("ys", (7, "foo")) == b"\7\0\0\0\3\0\0\0foo\0"
    assert encode_values("yt", (7, 1)) == b"\7" + bytes(7) + b"\1" + bytes(7)


def test_padding_before_the_first_item_is_not_in_an_arrays_length():
    assert encode_values("at", ([5],)) == b"\x08\0\0\0\0\0\0\0\5\0\0\0\0\0\0\0"
    assert encode_values("at", ([],)) == bytes(8)


def test_variant_carries_its_signature():
    assert encode_values("v", (("u", 1),)) == b"\1u\0\0\1\0\0\0"


def test_signature_is_taken_apart():
    assert complete_types("ssa(sv)a(sa(sv))") == ["s", "s", "a(sv)", "a(sa(sv))"]
    assert complete_types("a{sv}u") == ["a{sv}", "u"]


@pytest.mark.parametrize("signature", ["(", "a", "()", "z", "(s", "a{s", ")"])
def test_broken_signature_is_an_error(signature):
    with pytest.raises(WireError):
        complete_types(signature)


@given(bodies())
def test_values_come_back(body):
    signature, values = body
    assert decode_values(signature, encode_values(signature, values)) == values


@given(bodies(), st.integers(1, (1 << 32) - 1), TEXT)
def test_message_comes_back_and_says_how_long_it_is(body, serial, member):
    message = DbusMessage(
        kind=METHOD_CALL, path="/a", member=member, signature=body[0], body=body[1]
    )
    data = encode(message, serial)
    assert decode(data + b"more") == (message, len(data))
    assert decode(data[:-1]) is None or data[:-1] == b""


def test_big_endian_message_is_read():
    body = b"\0\0\0\2no\0"
    fields = b"\4\1s\0\0\0\0\3a.b\0\0\0\0\0" + b"\5\1u\0\0\0\0\x09" + b"\x08\1g\0\1s\0"
    header = b"B\3\0\1" + len(body).to_bytes(4) + b"\0\0\0\1" + len(fields).to_bytes(4) + fields
    data = header + bytes(-len(header) % 8) + body
    message = DbusMessage(kind=ERROR, error_name="a.b", reply_serial=9, signature="s", body=("no",))
    assert decode(data) == (message, len(data))


@pytest.mark.parametrize(
    ("signature", "values"), [("u", (-1,)), ("u", ("a",)), ("ss", ("a",)), ("s", (5,)), ("v", (5,))]
)
def test_value_that_does_not_fit_is_an_error(signature, values):
    with pytest.raises(WireError):
        encode_values(signature, values)


@given(st.binary(max_size=200) | st.binary(max_size=200).map(lambda b: b"l\1\0\1" + b))
def test_garbage_is_a_message_or_incomplete_or_a_wire_error(data):
    try:
        decode(data)
    except WireError:
        pass


@given(st.data())
def test_flipped_bytes_never_raise_anything_else(data):
    message = DbusMessage(kind=2, reply_serial=1, signature="a(sv)", body=([("a", ("u", 1))],))
    damaged = bytearray(encode(message, 3))
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        decode(bytes(damaged))
    except WireError:
        pass


def test_variants_nested_without_end_are_refused():
    value = ("u", 1)
    for _ in range(70):
        value = ("v", value)
    with pytest.raises(WireError, match="deep"):
        decode_values("v", encode_values("v", (value,)))


def test_only_ascii_letters_are_types():
    for char in string.printable:
        if char not in "ybnqiuxtdsogv":
            with pytest.raises(WireError):
                complete_types(char)
