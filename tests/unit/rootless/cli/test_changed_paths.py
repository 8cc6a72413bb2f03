"""Lists of changes."""

import io
import sys

from rootless.cli.changed_paths import print_changes


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_names_of_changes_are_escaped_on_a_terminal(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    print_changes([("A", b"etc/\x1b[2Jx\ny\xff")])
    assert terminal.getvalue() == "A /etc/\\x1b[2Jx\\ny\\xff\n"


def test_names_of_changes_are_not_escaped_elsewhere(capfdbinary):
    print_changes([("A", b"etc/\x1b[2Jx\xff"), ("D", b"old")])
    assert capfdbinary.readouterr().out == b"A /etc/\x1b[2Jx\xff\nD /old\n"
