"""What a container writes, as entries of each log driver, and back."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rootless.logs.json_file import LONGEST, JsonEntries
from rootless.logs.k8s_file import K8sEntries
from rootless.logs.reader import LogRequest, read_log
from rootless.logs.rotated_file import LogFile
from rootless.spec.options import LogDriver

TIME = b"2026-11-27T00:41:12.96655734Z"


def entries(*pieces, attributes=b""):
    made = JsonEntries("stdout", attributes)
    return b"".join(made.add(piece, TIME) for piece in pieces) + made.end(TIME)


def test_json_entry_is_dockers_byte_for_byte():
    # Written by docker 28.5 with --label a=b -e E=1 --log-opt labels=a --log-opt env=E.
    data = b'a\tb\\"<&>\\x01\r\n'
    expected = (
        rb'{"log":"a\u0009b\\\"\u003c\u0026\u003e\\x01\r\n","stream":"stdout",'
        rb'"attrs":{"E":"1","a":"b"},"time":"2026-11-27T00:41:12.96655734Z"}'
    )
    assert entries(data, attributes=b'{"E":"1","a":"b"}') == expected + b"\n"


def test_json_entry_of_bytes_that_are_no_utf8_has_them_all_beside_dockers_text():
    (line,) = entries(b"\xff\xc3\xa9\xe2\x80\xa8\n").splitlines()
    assert line.startswith(rb'{"log":"\ufffd' + "é".encode() + rb'\u2028\n","stream":"stdout",')
    assert base64.b64decode(json.loads(line)["raw"]) == b"\xff\xc3\xa9\xe2\x80\xa8\n"


def test_long_line_is_divided_as_docker_divides_it():
    lengths = [len(json.loads(line)["log"]) for line in entries(b"x" * 40000 + b"\n").splitlines()]
    assert lengths == [LONGEST, LONGEST, 40000 - 2 * LONGEST + 1]


def test_long_line_is_not_divided_within_a_character():
    data = b"x" + "é".encode() * 10000 + b"\n"
    logs = [json.loads(line)["log"] for line in entries(data).splitlines()]
    assert "".join(logs) == data.decode()
    assert [len(log.encode()) for log in logs] == [LONGEST - 1, 20002 - LONGEST + 1]


def test_line_without_an_end_is_written_at_the_end_of_the_stream():
    made = JsonEntries("stderr")
    assert made.add(b"ta", TIME) == b""
    assert made.add(b"il", TIME) == b""
    assert json.loads(made.end(TIME))["log"] == "tail"
    assert made.end(TIME) == b""


def test_k8s_parts_are_marked():
    made = K8sEntries("stderr")
    assert made.add(b"a\n\nb", b"T") == b"T stderr F a\nT stderr F \nT stderr P b\n"
    assert made.add(b"c\n", b"T") == b"T stderr F c\n"


@pytest.mark.parametrize("driver", [LogDriver.JSON_FILE, LogDriver.K8S_FILE])
@given(
    pieces=st.lists(
        st.one_of(
            st.binary(max_size=200),
            st.text(max_size=200).map(lambda text: text.encode(errors="replace")),
            st.sampled_from([b"\n", b'"\\', b"\xe2\x80\xa8", b"x" * 20000, b"\xc3\xa9" * 9000]),
        ),
        max_size=8,
    )
)
def test_every_byte_comes_back(tmp_path_factory, driver, pieces):
    made = JsonEntries("stdout") if driver is LogDriver.JSON_FILE else K8sEntries("stdout")
    path = tmp_path_factory.mktemp("log") / "log"
    data = b"".join(made.add(piece, TIME) for piece in pieces) + made.end(TIME)
    path.write_bytes(data)
    if driver is LogDriver.JSON_FILE:
        for line in data.split(b"\n")[:-1]:
            json.loads(line)
    found = b"".join(text for _, text in read_log(str(path), driver, LogRequest(), None))
    assert found == b"".join(pieces)


def test_file_is_rotated_at_its_size_and_the_oldest_removed(tmp_path):
    path = tmp_path / "log"
    file = LogFile(str(path), limit=100, files=3, compress=False)
    file.write(b"".join(b"%09d\n" % number for number in range(45)))
    file.close()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["log", "log.1", "log.2"]
    whole = [(tmp_path / name).read_text() for name in ("log.2", "log.1", "log")]
    assert [len(text) for text in whole] == [100, 100, 50]
    assert "".join(whole).split() == [f"{number:09}" for number in range(20, 45)]


def test_only_file_is_emptied_at_its_size(tmp_path):
    path = tmp_path / "log"
    file = LogFile(str(path), limit=100, files=1, compress=False)
    file.write(b"".join(b"%09d\n" % number for number in range(25)))
    file.close()
    assert path.read_text().split() == [f"{number:09}" for number in range(20, 25)]


def test_file_continues_after_it_was_closed(tmp_path):
    path = tmp_path / "log"
    for text in (b"a\n", b"b\n"):
        file = LogFile(str(path), limit=0, files=1, compress=False)
        file.write(text)
        file.close()
    assert path.read_text() == "a\nb\n"


def test_file_with_an_entry_in_part_continues_on_a_line_of_its_own(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"whole\npar")
    file = LogFile(str(path), limit=0, files=1, compress=False)
    file.write(b"next\n")
    file.close()
    assert path.read_text() == "whole\npar\nnext\n"


def test_damaged_entry_is_left_out(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(entries(b"one\n") + b'{"log":"tw\0\0\n' + entries(b"three\n"))
    found = b"".join(
        text for _, text in read_log(str(path), LogDriver.JSON_FILE, LogRequest(), None)
    )
    assert found == b"one\nthree\n"
