"""The log that a shell writes."""

from __future__ import annotations

from rootless.recording.log import Typed, decode_log

RECORD = "0\0/d\x000022\0echo \xff\0x=1\ny='a b'\nPS1='# '\nA=([0]=1)\0PATH=/bin\0PWD=/d\0\0"


def test_a_record_has_the_command_and_the_state_after_it():
    (typed,) = decode_log(RECORD.encode())
    assert typed == Typed(
        0, "/d", "0022", "echo \xff", {"x": "1", "y": "a b"}, {"PATH": "/bin"}, False
    )


def test_an_exported_variable_is_not_one_of_the_shell():
    (typed,) = decode_log(b"0\0/\x000022\0true\0x=1\0x=1\0\0")
    assert (typed.variables, typed.environment) == ({}, {"x": "1"})


def test_the_state_before_the_first_command_tells_whether_the_shell_is_bash():
    log = b"bash\0/\x000022\0\0\0\0" + b"start\0/\x000022\0\0\0\0"
    first, second = decode_log(log)
    assert (first.status, first.is_bash, second.is_bash) == (None, True, False)


def test_a_record_that_is_cut_off_is_left_out():
    whole = RECORD.encode()
    assert len(decode_log(whole + whole[:-1])) == 1
    assert all(len(decode_log(whole[:length])) == 0 for length in range(len(whole)))
