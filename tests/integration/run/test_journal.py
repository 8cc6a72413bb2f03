"""The log driver journald, with a journal of the test's own."""

import json

import pytest

from tests.support.journal import Journal

pytestmark = pytest.mark.needs("userns", "fuse", "journal")


@pytest.fixture
def journal(rootless, tmp_path):
    started = Journal(rootless, tmp_path / "journald.log")
    yield started
    started.stop()


def run(journal, script, *options):
    words = ("run", "--name", "held", "--log-driver", "journald", *options)
    return journal(*words, "--rootfs", "/", "sh", "-c", script).ok()


def test_output_is_in_the_journal_with_dockers_fields(journal):
    run(journal, "echo out; echo err >&2", "--label", "a.b=1", "--log-opt", "labels=a.b")
    identity = journal("inspect", "-f", "{{.Id}}", "held").ok().stdout.strip()
    words = ["journalctl", "--quiet", "-o", "json", "CONTAINER_NAME=held"]
    out, err = sorted(
        map(json.loads, journal.run(*words).ok().stdout.splitlines()),
        key=lambda entry: -int(entry["PRIORITY"]),
    )
    assert (out["MESSAGE"], out["PRIORITY"]) == ("out", "6")
    assert (err["MESSAGE"], err["PRIORITY"]) == ("err", "3")
    assert out["CONTAINER_ID"] == out["SYSLOG_IDENTIFIER"] == identity[:12]
    assert out["CONTAINER_ID_FULL"] == identity
    assert out["A_B"] == "1"


def test_logs_are_read_from_the_journal(journal):
    long = "head -c 40000 /dev/zero | tr '\\0' x; echo"
    run(journal, rf"printf '\377\0b\n'; {long}; echo; echo err >&2; printf end")
    shown = journal("logs", "held").ok()
    assert shown.stdout == "\N{REPLACEMENT CHARACTER}\0b\n" + "x" * 40000 + "\n\nend\n"
    assert shown.stderr == "err\n"
    assert journal("logs", "-n", "1", "held").ok().stdout == "end\n"
    shown = journal("logs", "-t", "-n", "1", "held").ok().stdout
    assert shown.endswith("Z end\n")
    assert journal("logs", "--since", shown.split()[0], "held").ok().stdout == "end\n"
    assert journal("logs", "--until", shown.split()[0], "-n", "1", "held").ok().stdout == "end\n"
    assert journal("logs", "--until", "2020-01-01", "held").ok().stdout == ""
    config = json.loads(journal("inspect", "held").ok().stdout)[0]
    assert config["HostConfig"]["LogConfig"] == {"Type": "journald", "Config": {}}
    assert config["LogPath"] == ""


def test_log_is_followed_to_the_end(journal):
    run(journal, "for i in 1 2 3 4 5; do echo $i; sleep 0.2; done", "-d")
    assert journal("logs", "-f", "held").ok().stdout == "1\n2\n3\n4\n5\n"
    journal("start", "held").ok()
    assert journal("logs", "-f", "held").ok().stdout == 2 * "1\n2\n3\n4\n5\n"


def test_host_without_a_journal_is_named(journal):
    run(journal, "true")
    journal.hide_socket()
    words = ("create", "--log-driver", "journald", "--rootfs", "/", "true")
    for refused in (journal(*words), journal("start", "held")):
        assert refused.status != 0
        assert "journald is not enabled on this host" in refused.stderr
    assert journal("ps", "-aq").ok().stdout.count("\n") == 1


def test_option_of_another_driver_is_refused(rootless):
    words = ("create", "--log-driver", "journald", "--log-opt", "max-size=1m", "--rootfs", "/", "x")
    result = rootless(*words)
    assert result.status == 1
    assert "unknown log opt 'max-size' for journald log driver" in result.stderr
