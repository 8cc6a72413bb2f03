"""The journal's protocol: fields of entries, and entries as journalctl prints them."""

import pytest

from rootless.errors import HostSupportError
from rootless.logs.journal import field, field_name, require_journal
from rootless.logs.journal_reader import parse_export


def test_journal_is_required(tmp_path):
    (tmp_path / "file").write_text("")
    for name in ("file", "missing"):
        with pytest.raises(HostSupportError, match="journald is not enabled on this host"):
            require_journal(str(tmp_path / name))


@pytest.mark.parametrize(
    ("text", "name"), [("a.b", "A_B"), ("__x-1", "X_1"), ("é", ""), ("Äb", "B"), ("_", "")]
)
def test_names_of_fields_are_those_that_the_journal_takes(text, name):
    assert field_name(text) == name


def test_entries_are_read_from_pieces():
    entry = b"".join(
        (
            field(b"__CURSOR", b"s=1"),
            field(b"PRIORITY", b"3"),
            field(b"MESSAGE", b"two\nlines\0\xff"),
            field(b"SYSLOG_TIMESTAMP", b"2026-11-27T00:41:12.000000001Z"),
            field(b"CONTAINER_TAG", b"x"),
            field(b"A_B", b"1"),
            field(b"_PID", b"1"),
            b"\n",
        )
    )
    data = entry + entry.replace(b"SYSLOG_TIMESTAMP", b"CONTAINER_PARTIAL_MESSAGE=true\nX")
    read, rest = [], b""
    for index in range(len(data)):
        entries, rest = parse_export(rest + data[index : index + 1])
        read += entries
    assert rest == b""
    first, second = read
    assert first == (
        2,
        b"two\nlines\0\xff\n",
        b"2026-11-27T00:41:12.000000001Z",
        {"A_B": "1"},
        b"s=1",
    )
    assert second.text == b"two\nlines\0\xff"
