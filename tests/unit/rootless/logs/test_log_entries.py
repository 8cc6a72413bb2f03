"""Entries of a log as output again: runs are decoded as their lines are."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rootless.logs.entries import JsonFormat, K8sFormat, runs, with_prefix
from rootless.logs.json_file import JsonEntries
from rootless.logs.k8s_file import K8sEntries

TIMES = (b"2026-01-02T03:04:05.123456789Z", b"2026-01-02T03:04:06Z", b"2026-01-02T03:04:07.5Z")
LINES = st.lists(
    st.one_of(
        st.sampled_from([b"", b"plain", b'quoted "x" \\ <&>', b"\xff\xfe", "é\u2028".encode()]),
        st.binary(max_size=20).map(lambda data: data.replace(b"\n", b"")),
    ),
    min_size=1,
    max_size=300,
)
PIECES = st.lists(st.tuples(st.sampled_from(["stdout", "stderr"]), LINES), min_size=1, max_size=6)
FORMATS = {"json": (JsonFormat, JsonEntries), "k8s": (K8sFormat, K8sEntries)}


def texts(found):
    for entry in found:
        for text in entry.text[:-1].split(b"\n"):
            yield entry.number, entry.time, text


@pytest.mark.parametrize("name", FORMATS)
@given(pieces=PIECES)
def test_runs_have_the_texts_of_their_lines(name, pieces):
    entries, writer = FORMATS[name]
    writers = {stream: writer(stream) for stream in ("stdout", "stderr")}
    block = b"".join(
        writers[stream].add(b"\n".join(lines) + b"\n", TIMES[index % 3])
        for index, (stream, lines) in enumerate(pieces)
    )
    each = [entries.parse(line) for line in block.split(b"\n")[:-1]]
    assert list(texts(runs(block, entries))) == list(texts(filter(None, each)))


def test_thousands_of_lines_of_one_time_are_one_run():
    block = JsonEntries("stdout").add(b"0123456789\n" * 5000, TIMES[0])
    assert [len(entry.text) for entry in runs(block, JsonFormat)] == [55000]


def test_lines_of_docker_have_each_its_time():
    lines = [
        json.dumps({"log": f"{index}\n", "stream": "stdout", "time": f"2026-01-01T00:00:0{index}Z"})
        for index in range(3)
    ]
    block = "".join(f"{line}\n" for line in lines).replace('": "', '":"').replace(', "', ',"')
    found = [(entry.text, entry.time[-2:-1]) for entry in runs(block.encode(), JsonFormat)]
    assert found == [(b"0\n", b"0"), (b"1\n", b"1"), (b"2\n", b"2")]


def test_prefix_is_before_each_entry():
    assert with_prefix(b"a\nb\n", b"T ") == b"T a\nT b\n"
    assert with_prefix(b"part", b"T ") == b"T part"
    assert with_prefix(b"\n", b"T ") == b"T \n"
