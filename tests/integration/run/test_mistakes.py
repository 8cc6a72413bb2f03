"""Mistakes: the status and the line that docker 28.5 has for the same one."""

import resource

import pytest

from rootless.cli.flags.ulimits import RESOURCES

NONE = "No such image: nosuch:latest"
CASES = [
    (["image", "inspect", "nosuch"], 1, f"Error: {NONE}"),
    (["container", "inspect", "nosuch"], 1, "Error: No such container: nosuch"),
    (["inspect", "nosuch"], 1, "Error: No such object: nosuch"),
    (["inspect", "--type", "network", "nosuch"], 1, "Error: network nosuch not found"),
    (["inspect", "--type", "foo", "x"], 1, 'rootless: unknown type: "foo": must be one of'),
    (
        ["inspect", "-f", "{{.Nope", "x"],
        64,
        "template parsing error: template: :1: unclosed action",
    ),
    (["container", "--nosuch"], 125, "unknown flag: --nosuch"),
    (["image", "--nosuch", "ls"], 125, "unknown flag: --nosuch"),
    (["volume", "-x", "ls"], 125, "unknown shorthand flag: 'x' in -x"),
    (["rm", "nosuch"], 1, "Error: No such container: nosuch"),
    (["rm", "-f", "nosuch"], 0, "Error: No such container: nosuch"),
    (["rmi", "nosuch"], 1, f"Error: {NONE}"),
    (["rmi", "-f", "nosuch"], 0, f"Error: {NONE}"),
    (["rmi", "Bad"], 1, "invalid reference format"),
    (["tag", "nosuch", "x"], 1, NONE),
    (["history", "nosuch"], 1, NONE),
    (["save", "nosuch", "-o", "/dev/null"], 1, NONE),
    (
        ["save", "-o", "/nonexistent/x", "i"],
        1,
        "invalid output path: stat /nonexistent: no such file",
    ),
    (["save", "-o", "/tmp", "i"], 1, "cannot write to a directory"),
    (["export", "-o", "/nonexistent/x", "c"], 1, "invalid output path: stat /nonexistent: no such"),
    (["load", "-i", "/nonexistent"], 1, "open /nonexistent: no such file or directory"),
    (["import", "/nonexistent", "x"], 1, "open /nonexistent: no such file or directory"),
    (["export", "nosuch"], 1, "No such container: nosuch"),
    (["diff", "nosuch"], 1, "No such container: nosuch"),
    (["commit", "nosuch"], 1, "No such container: nosuch"),
    (["ps", "--filter", "nope=1"], 1, "invalid filter 'nope'"),
    (
        ["ps", "--filter", "nope"],
        125,
        'invalid argument "nope" for "-f, --filter" flag: bad format of filter (expected name=value)',
    ),
    (
        ["ps", "--filter", "status=foo"],
        1,
        "invalid filter 'status=foo': invalid value for state (foo): must be one of created, running",
    ),
    (["ps", "--filter", "before=nosuch"], 1, "No such container: nosuch"),
    (["images", "--filter", "before=nosuch"], 1, NONE),
    (["ps", "--format", "{{.Nope}}"], 1, "can't evaluate field Nope in type *formatter.Container"),
    (["image", "prune", "-f", "--filter", "nope=1"], 1, "invalid filter 'nope'"),
    (["run", "nosuch/", "true"], 125, "invalid reference format"),
    (["run", "--pull", "never", "nosuch", "true"], 125, NONE),
    (["run", "--pull", "foo", "i"], 125, "invalid pull option: 'foo': must be one of"),
    (
        ["run", "-w", "rel", "--rootfs", "/", "true"],
        125,
        "the working directory 'rel' is invalid, it",
    ),
    (["run", "--name", "/", "--rootfs", "/", "true"], 125, "Invalid container name (), only"),
    (["run", "-m", "1m", "--rootfs", "/", "true"], 125, "minimum memory limit allowed is 6MB"),
    (["run", "--env-file", "/nosuch", "i"], 125, "open /nosuch: no such file or directory"),
    (
        ["run", "--ulimit", "foo", "i"],
        125,
        'invalid argument "foo" for "--ulimit" flag: invalid ulimit argument: foo',
    ),
    (
        ["run", "--add-host", "foo", "i"],
        125,
        'invalid argument "foo" for "--add-host" flag: bad format for add-host: "foo"',
    ),
    (
        ["run", "-a", "foo", "i"],
        125,
        'invalid argument "foo" for "-a, --attach" flag: valid streams are STDIN, STDOUT and STDERR',
    ),
    (
        ["run", "--cpus", "x", "i"],
        125,
        'invalid argument "x" for "--cpus" flag: failed to parse x as',
    ),
    (["run", "--stop-signal", "FOO", "i"], 125, "invalid signal: FOO"),
    (
        ["run", "--device", "/dev/nosuch", "--rootfs", "/", "true"],
        127,
        'adding custom device "/dev/nosuch": no such file or directory',
    ),
    (["images", "a", "b"], 1, "'rootless images' requires at most 1 argument"),
    (["inspect"], 1, "'rootless inspect' requires at least 1 argument"),
    (["--foo"], 125, "unknown flag: --foo"),
    (["run", "-d", "-a", "stdout", "i"], 1, "conflicting options: cannot specify both --attach"),
    (["run", "--dns-search", "a b", "i"], 125, "a b is not a valid domain"),
    (["run", "--ulimit", "nofile=0", "--rootfs", "/", "true"], 125, "too many open files"),
    (
        ["run", "--platform", "nosuch", "i"],
        125,
        '"nosuch": unknown operating system or architecture',
    ),
    (
        ["run", "--cidfile", "/nosuch/x", "--rootfs", "/", "true"],
        127,
        "container ID file: open /nosuch/x",
    ),
    (["update", "-m", "x", "c"], 125, "invalid size: 'x'"),
    (["rename", "c", ""], 1, "Neither old nor new names may be empty"),
    (["start", ""], 1, "invalid container name or ID: value is empty"),
    (["info", "-f", "{{.Nope}}"], 1, "can't evaluate field Nope in type system.dockerInfo"),
    (["version", "-f", "{{.Nope}}"], 1, "can't evaluate field Nope in type system.versionInfo"),
    (
        ["import", "http://127.0.0.1:1/x"],
        1,
        "cannot fetch http://127.0.0.1:1/x: connection refused",
    ),
    (["run", "--foo"], 125, "unknown flag: --foo"),
]


@pytest.mark.parametrize(("words", "status", "line"), CASES)
def test_mistake_is_answered_as_docker_answers_it(rootless, words, status, line):
    result = rootless(*words)
    assert (result.status, line in result.stderr) == (status, True), result.stderr
    for word in ("Traceback", "Error(", "Errno", ".tmp-"):
        assert word not in result.stderr


@pytest.mark.parametrize("name", ["memlock", "nofile"])
def test_ulimit_above_what_the_account_may_have_is_refused_before_the_start(rootless, name):
    hard = resource.getrlimit(getattr(resource, f"RLIMIT_{name.upper()}"))[1]
    if hard == resource.RLIM_INFINITY:
        pytest.skip("this account has no such limit")
    result = rootless("run", "--rm", "--ulimit", f"{name}=-1", "--rootfs", "/", "true")
    expected = f"rootless: ulimit {name}=-1:-1 is above what this account may have ({hard})\n"
    assert (result.status, result.stderr) == (125, expected)


@pytest.mark.parametrize("name", RESOURCES)
def test_every_resource_that_docker_names_can_be_limited(rootless, name):
    needed = {"nofile": 64, "stack": 1 << 23, "data": 1 << 26, "cpu": 10}  # to load a program
    value = needed.get(name, 0)
    result = rootless("run", "--rm", "--ulimit", f"{name}={value}", "--rootfs", "/", "true")
    assert (result.status, result.stderr) == (0, "")


def test_null_byte_in_the_environment_is_an_error_without_the_name_of_an_exception(
    rootless, tmp_path
):
    (tmp_path / "env").write_bytes(b"A=1\0\n")
    words = ("run", "--rm", "--env-file", str(tmp_path / "env"), "--rootfs", "/", "true")
    result = rootless(*words)
    assert (result.status, result.stderr) == (125, "rootless: exec true: embedded null byte\n")


def test_hostname_is_whatever_the_kernel_takes(rootless):
    words = (
        "run",
        "--rm",
        "--hostname",
        "a b",
        "--rootfs",
        "/",
        "cat",
        "/proc/sys/kernel/hostname",
    )
    assert rootless(*words).ok().stdout == "a b\n"


def test_empty_name_is_no_name(rootless):
    rootless("run", "--name", "", "--rootfs", "/", "true").ok()
    (name,) = rootless("ps", "-a", "--format", "{{.Names}}").ok().stdout.split()
    assert "_" in name


def test_ps_shows_an_argument_with_blanks_quoted(rootless):
    rootless("create", "--rootfs", "/", "sh", "-c", "echo a b").ok()
    assert rootless("ps", "-a", "--format", "{{.Command}}").ok().stdout == "\"sh -c 'echo a b'\"\n"
