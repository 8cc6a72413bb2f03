"""--detach-keys: how they are written, and how they are found in what is typed."""

import pytest

from rootless.cli.flags.detach_keys import parse_detach_keys
from rootless.errors import UsageError
from rootless.supervisor.terminals.detach_keys import DEFAULT, KeyFilter, describe_keys


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("ctrl-p,ctrl-q", b"\x10\x11"),
        ("CTRL-P", b"\x10"),
        ("ctrl-x,a", b"\x18a"),
        ("a", b"a"),
        ("ctrl-@,ctrl-[,ctrl-\\,ctrl-],ctrl-^,ctrl-_", b"\x00\x1b\x1c\x1d\x1e\x1f"),
        ("DEL", b"\x7f"),
    ],
)
def test_keys_are_those_of_docker(text, keys):
    assert parse_detach_keys(text) == keys


@pytest.mark.parametrize("text", ["ctrl-xx", "ab", "ctrl-", "ctrl-1", ",", "é", "a,,b"])
def test_unknown_key_is_refused_by_name(text):
    with pytest.raises(UsageError, match="invalid detach keys"):
        parse_detach_keys(text)


def test_keys_are_described_as_they_are_typed():
    assert describe_keys(b"\x10\x11") == "ctrl-p ctrl-q"
    assert describe_keys(b"\x18a") == "ctrl-x a"


class Typist:
    def __init__(self, keys=DEFAULT):
        self.detached = self.interrupted = 0
        self.filter = KeyFilter(keys, self.detach, self.interrupt)

    def detach(self):
        self.detached += 1

    def interrupt(self):
        self.interrupted += 1

    def type(self, *pieces):
        return b"".join(map(self.filter, pieces))


@pytest.mark.parametrize("pieces", [(b"ls\n\x10\x11",), (b"ls\n", b"\x10", b"\x11")])
def test_sequence_detaches_and_does_not_reach_the_container(pieces):
    user = Typist()
    assert (user.type(*pieces), user.detached) == (b"ls\n", 1)


@pytest.mark.parametrize(
    ("pieces", "passed"),
    [
        ((b"\x10", b"x"), b"\x10x"),
        ((b"\x10x\x11",), b"\x10x\x11"),
        ((b"\x11\x10y",), b"\x11\x10y"),
    ],
)
def test_part_of_the_sequence_is_passed_on(pieces, passed):
    user = Typist()
    assert (user.type(*pieces), user.detached) == (passed, 0)


def test_sequence_may_begin_again_within_itself():
    user = Typist()
    assert (user.type(b"\x10\x10\x11"), user.detached) == (b"\x10", 1)


def test_third_interrupt_in_a_row_is_noticed():
    user = Typist()
    assert user.type(b"\x03\x03x\x03\x03") == b"\x03\x03x\x03\x03"
    assert user.interrupted == 0
    user.type(b"\x03")
    assert user.interrupted == 1


def test_keys_after_the_sequence_are_dropped():
    user = Typist()
    assert (user.type(b"\x10\x11\x10\x11", b"rm -rf /\n\x10\x11"), user.detached) == (b"", 1)


def test_key_that_was_released_is_passed_once():
    user = Typist()
    assert (user.type(b"a\x10"), user.filter.holds) == (b"a", True)
    assert (user.filter.release(), user.filter.holds) == (b"\x10", False)
    assert (user.filter.release(), user.type(b"x")) == (b"", b"x")


def test_rest_of_the_sequence_detaches_after_a_key_was_released():
    user = Typist()
    user.type(b"\x10")
    user.filter.release()
    assert (user.type(b"\x11"), user.detached, user.filter.holds) == (b"", 1, False)


def test_keys_of_a_longer_sequence_are_released_each_once():
    user = Typist(b"abc")
    assert user.type(b"a") == b""
    assert user.filter.release() == b"a"
    assert user.type(b"b") == b""
    assert user.type(b"x") == b"bx"
    assert user.detached == 0
