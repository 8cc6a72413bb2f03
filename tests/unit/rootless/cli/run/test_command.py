"""The flags of `run`, from the command line to values; mounts are in flags/test_mounts.py."""

import pytest

from rootless.cli.flags.names import parse_add_host
from rootless.cli.flags.security import tweaked
from rootless.cli.flags.signals import parse_signal
from rootless.cli.flags.ulimits import parse_ulimit
from rootless.cli.grammar import GrammarError
from rootless.errors import UsageError
from rootless.runtime.idmap import UserNamespaceMode
from rootless.spec.check_options import check_options
from rootless.spec.options import DEFAULT_CAPABILITIES, HostEntry, Ulimit
from rootless.syscalls.capabilities import NAMES
from tests.support.run_flags import flags_to_options


def parse(**flags):
    options = flags_to_options(**flags)
    check_options(options)
    return options


@pytest.fixture
def file_of(tmp_path):
    def write(text):
        path = tmp_path / "file"
        path.write_text(text)
        return str(path)

    return write


def test_env_without_value_is_the_callers():
    options = parse(env=("A", "B", "C=1=2", "D="), environ={"A": "from caller"})
    assert options.variables == (("A", "from caller"), ("B", None), ("C", "1=2"), ("D", ""))


def test_unset_variables_come_before_those_that_are_set():
    options = parse(unsetenv=("A", "B"), env=("B=1",))
    assert options.variables == (("A", None), ("B", None), ("B", "1"))


def test_env_file_comes_first_and_is_taken_word_for_word(file_of):
    text = '\ufeff# comment\n\n  A="quoted" # not a comment\nFROM\nGONE\nE=\n'
    options = parse(environ={"FROM": "x"}, env=("A=flag",), env_file=(file_of(text),))
    assert options.variables == (
        ("A", '"quoted" # not a comment'),
        ("FROM", "x"),
        ("E", ""),
        ("A", "flag"),
    )


@pytest.mark.parametrize(
    ("text", "message"), [("A B=1", "contains whitespaces"), ("=1", "no variable name")]
)
def test_env_file_with_a_bad_line_is_refused(text, message, file_of):
    with pytest.raises(GrammarError, match=message):
        parse(env_file=(file_of(text),))


def test_env_file_that_is_missing_is_refused():
    with pytest.raises(UsageError, match="open /nonexistent: no such file or directory"):
        parse(env_file=("/nonexistent",))


def test_labels_of_the_command_line_win_over_files(file_of):
    path = file_of("a=1\nb=2\nalone\n")
    options = parse(label=("b=3", "c"), label_file=(path,))
    assert options.labels == {"a": "1", "b": "3", "c": ""}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nofile=1024", Ulimit("nofile", 1024, 1024)),
        ("nofile=10:20", Ulimit("nofile", 10, 20)),
        ("core=-1", Ulimit("core", -1, -1)),
        ("core=5:-1", Ulimit("core", 5, -1)),
    ],
)
def test_ulimit_is_read_as_docker_does(text, expected):
    assert parse_ulimit(text) == expected


@pytest.mark.parametrize(
    "text",
    ["nofile", "nofile=", "files=1", "nofile=a", "nofile=3:2", "nofile=1:2:3", "nofile=-1:5"],
)
def test_ulimit_that_makes_no_sense_is_refused(text):
    with pytest.raises(UsageError):
        parse_ulimit(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("db:10.0.0.1", HostEntry("db", "10.0.0.1")),
        ("db=10.0.0.1", HostEntry("db", "10.0.0.1")),
        ("db:::1", HostEntry("db", "::1")),
        ("db=[::1]", HostEntry("db", "::1")),
        ("db:host-gateway", HostEntry("db", "host-gateway")),
    ],
)
def test_add_host_is_read_as_docker_does(text, expected):
    assert parse_add_host(text) == expected


@pytest.mark.parametrize("text", ["db", "db:", ":1.2.3.4", "db:1.2.3", "db:name"])
def test_add_host_that_makes_no_sense_is_refused(text):
    with pytest.raises(UsageError):
        parse_add_host(text)


def test_sysctl_needs_a_namespace_of_its_own():
    accepted = parse(sysctl=("kernel.shmmax=1", "fs.mqueue.msg_max=9"))
    assert accepted.sysctls == {"kernel.shmmax": "1", "fs.mqueue.msg_max": "9"}
    assert parse(sysctl=("net.core.somaxconn=9",), network=("none",)).sysctls
    for flags in (
        {"sysctl": ("net.core.somaxconn=9",), "network": ("host",)},
        {"sysctl": ("kernel.shmmax=1",), "ipc": "host"},
        {"sysctl": ("vm.swappiness=1",)},
        {"sysctl": ("net.ipv4/../../kernel/x=1",), "network": ("none",)},
        {"sysctl": ("kernel.shmmax",)},
    ):
        with pytest.raises(UsageError):
            parse(**flags)


def test_capabilities_follow_dockers_rule():
    assert tweaked([], []) == DEFAULT_CAPABILITIES
    assert tweaked(["CAP_SYS_ADMIN", "net_admin"], ["mknod"]) == (
        DEFAULT_CAPABILITIES | {"SYS_ADMIN", "NET_ADMIN"}
    ) - {"MKNOD"}
    assert tweaked(["ALL"], ["SYS_ADMIN"]) == frozenset(NAMES) - {"SYS_ADMIN"}
    assert tweaked(["CHOWN"], ["ALL"]) == {"CHOWN"}
    assert tweaked([], ["all"]) == frozenset()
    with pytest.raises(UsageError, match='invalid CapAdd: unknown capability: "CAP_FLY"'):
        tweaked(["FLY"], [])


def test_security_options_are_read():
    security = parse(
        security_opt=(
            "seccomp=/p.json",
            "no-new-privileges",
            "mask=/a:/b",
            "unmask=/proc/sys",
            "label=disable",
            "apparmor=unconfined",
        )
    ).security
    assert security.seccomp == "/p.json"
    assert security.no_new_privileges
    assert security.mask == ("/a", "/b")
    assert security.unmask == ("/proc/sys",)
    assert parse(security_opt=("seccomp:unconfined",)).security.seccomp == "unconfined"
    assert parse(security_opt=("no-new-privileges:false",)).security.no_new_privileges is False
    assert parse(security_opt=("systempaths=unconfined",)).security.unmask_all


@pytest.mark.parametrize(
    "option", ["", "seccomp", "seccomp=", "no-new-privileges=x", "mask=a", "apparmor=p", "other=1"]
)
def test_security_option_that_makes_no_sense_is_refused(option):
    with pytest.raises(UsageError, match="--security-opt"):
        parse(security_opt=(option,))


def test_privileged_has_everything_but_what_is_dropped():
    security = parse(privileged=True, cap_drop=("SYS_ADMIN",)).security
    assert security.capabilities == frozenset(NAMES) - {"SYS_ADMIN"}
    assert security.seccomp == "unconfined"
    assert security.unmask_all


def test_userns_modes_are_read():
    assert parse().userns == parse(userns="host").userns == UserNamespaceMode()
    assert parse(userns="keep-id").userns == UserNamespaceMode(keep=True)
    assert parse(userns="keep-id:uid=5,gid=6").userns == UserNamespaceMode(True, 5, 6)


@pytest.mark.parametrize(
    "flags",
    [
        {"userns": "auto"},
        {"userns": "keep-id:size=1"},
        {"userns": "keep-id:uid=x"},
        {"network": ("",)},
        {"network": ("foo=bar",)},
        {"publish": ("80:abc",)},
        {"mac_address": "zz"},
        {"pid": "ns:x"},
        {"ipc": "odd"},
        {"uts": "host", "hostname": "x"},
        {"dns": ("one",)},
        {"hostname": "a\nb"},
        {"hostname": "a" * 65},
        {"workdir": "relative"},
        {"umask": "9"},
        {"umask": "10000"},
        {"oom_score_adj": 1001},
        {"shm_size": "x"},
        {"stop_signal": "SIGNOPE"},
        {"annotation": ("=x",)},
    ],
)
def test_flag_that_makes_no_sense_is_refused(flags):
    with pytest.raises((GrammarError, UsageError)):
        parse(**flags)


def test_shared_memory_of_no_size_is_the_default():
    assert parse(shm_size="0").shm_size == parse().shm_size == 64 << 20


@pytest.mark.parametrize(
    ("text", "name"),
    [("TERM", "SIGTERM"), ("sigkill", "SIGKILL"), ("2", "SIGINT"), ("37", "SIGRTMIN+3")],
)
def test_stop_signal_by_name_and_number(text, name):
    assert parse_signal(text) == name
