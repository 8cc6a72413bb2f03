"""The machine's own root file system as a copy-on-write container."""

import os
import subprocess
import sys
import time
from pathlib import Path
from uuid import uuid4

import pytest

pytestmark = pytest.mark.needs("userns", "fuse")


def host(rootless, *words, options=(), **more):
    return rootless("run", "--rm", *options, "--rootfs", "/", *words, **more)


def test_hello_world(rootless):
    result = host(rootless, "echo", "Hello World").ok()
    assert (result.stdout, result.stderr) == ("Hello World\n", "")


def test_container_run_is_the_same_command(rootless):
    result = rootless("container", "run", "--rm", "--rootfs", "/", "echo", "again").ok()
    assert result.stdout == "again\n"


@pytest.mark.parametrize("status", [0, 1, 42, 255])
def test_exit_status_is_the_commands_own(rootless, status):
    assert host(rootless, "sh", "-c", f"exit {status}").status == status


@pytest.mark.parametrize(
    ("command", "status", "words"),
    [
        ("no-such-command", 127, 'exec: "no-such-command": executable file not found in $PATH'),
        ("/no/such/file", 127, 'exec: "/no/such/file": no such file or directory'),
        ("/etc/passwd", 126, 'exec: "/etc/passwd": permission denied'),
        ("/etc", 126, 'exec: "/etc": is a directory'),
    ],
)
def test_command_that_cannot_run_gets_dockers_status(rootless, command, status, words):
    result = host(rootless, command)
    assert result.status == status
    assert words in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_signal_that_ends_the_command_is_128_and_its_number(rootless):
    result = host(rootless, "sh", "-c", "sh -c 'kill -TERM $$'; echo $?; exec sleep 0.01")
    assert result.stdout == "143\n"


def test_writes_stay_in_the_container(rootless):
    name = f"/var/tmp/rootless-test-{uuid4().hex}"
    script = f"echo new > {name} && cat {name} && rm /etc/passwd && test ! -e /etc/passwd"
    assert host(rootless, "sh", "-c", script).ok().stdout == "new\n"
    assert not Path(name).exists()
    assert Path("/etc/passwd").exists()


def test_own_store_is_hidden(rootless):
    store = rootless.data / "rootless"
    result = host(rootless, "ls", "-A", str(store)).ok()
    assert result.stdout == ""
    assert (store / "containers").is_dir()


def test_nothing_is_left_of_a_removed_container(rootless):
    host(rootless, "true").ok()
    containers = rootless.data / "rootless/containers"
    assert {entry.name for entry in containers.iterdir()} <= {"names", ".lock"}
    assert list((containers / "names").iterdir()) == []


def test_own_processes_only(rootless):
    result = host(rootless, "sh", "-c", "echo $$; ls /proc | grep -c '^[0-9]'").ok()
    first, count = result.stdout.split()
    assert first == "1"
    assert int(count) < 6


def test_environment_directory_and_hostname(rootless):
    result = host(
        rootless,
        "sh",
        "-c",
        'echo "$A $B $HOME"; pwd; hostname',
        options=["-e", "A=1", "--env", "B=two words", "-w", "/usr", "-h", "box"],
    ).ok()
    assert result.stdout.splitlines() == ["1 two words /root", "/usr", "box"]


def test_read_only_root_refuses_writes(rootless):
    result = host(rootless, "sh", "-c", "echo x > /etc/x", options=["--read-only"])
    assert result.status != 0
    assert "Read-only file system" in result.stderr


def test_volume_is_shared_with_the_machine(rootless, tmp_path):
    (tmp_path / "in").write_text("from outside\n")
    script = "cat /data/in && echo from inside > /data/out"
    result = host(rootless, "sh", "-c", script, options=["-v", f"{tmp_path}:/data"]).ok()
    assert result.stdout == "from outside\n"
    assert (tmp_path / "out").read_text() == "from inside\n"
    assert (tmp_path / "out").stat().st_uid == os.getuid()


@pytest.mark.needs("subuid")
def test_keep_id_runs_as_the_caller(rootless):
    ids = f"{os.getuid()} {os.getgid()}\n"
    shown = host(rootless, "sh", "-c", "echo $(id -u) $(id -g)", options=["--userns=keep-id"])
    assert shown.ok().stdout == ids
    other = host(
        rootless, "sh", "-c", "echo $(id -u) $(id -g)", options=["--userns=keep-id:uid=55,gid=66"]
    )
    assert other.ok().stdout == "55 66\n"
    as_root = host(rootless, "id", "-u", options=["--userns=keep-id", "--user=0"])
    assert as_root.ok().stdout == "0\n"


def test_read_only_root_has_mount_points_that_were_not_there(rootless):
    result = host(
        rootless,
        "sh",
        "-c",
        "echo x > /not-there-before/x && cat /not-there-before/x; echo y > /y",
        options=["--read-only", "--tmpfs=/not-there-before"],
    )
    assert result.stdout == "x\n"
    assert "Read-only file system" in result.stderr


def test_read_only_volume_and_mount_refuse_writes(rootless, tmp_path):
    for option in (
        ["-v", f"{tmp_path}:/data:ro"],
        ["--mount", f"type=bind,source={tmp_path},target=/data,readonly"],
    ):
        result = host(rootless, "touch", "/data/x", options=option)
        assert result.status == 1
        assert "Read-only file system" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_tmpfs_is_empty_and_in_memory(rootless):
    script = "ls -A /usr/share; stat -f -c %T /usr/share"
    result = host(rootless, "sh", "-c", script, options=["--tmpfs", "/usr/share"]).ok()
    assert result.stdout == "tmpfs\n"


def test_network_none_has_loopback_only(rootless):
    result = host(rootless, "ls", "/sys/class/net", options=["--network", "none"]).ok()
    assert result.stdout.split() == ["lo"]


def test_init_reaps_zombies(rootless):
    zombies = "cat /proc/[0-9]*/stat | awk '$3 == \"Z\"' | grep -q ."
    script = f"(sleep 0 &); sleep 0.2; n=0; while {zombies} && [ $((n+=1)) -lt 50 ]; do sleep 0.2; done; echo $n"
    result = host(rootless, "sh", "-c", script, options=["--init"]).ok()
    assert int(result.stdout) < 50


def test_cidfile_and_name(rootless, tmp_path):
    cidfile = tmp_path / "cid"
    options = ["--cidfile", str(cidfile), "--name", "fred"]
    host(rootless, "true", options=options).ok()
    assert len(cidfile.read_text()) == 64
    again = host(rootless, "true", options=options)
    assert again.status == 125
    assert "container ID file found" in again.stderr


def test_name_is_taken_until_the_container_is_removed(rootless):
    rootless("run", "--name", "fred", "--rootfs", "/", "sh", "-c", "exit 3")
    taken = host(rootless, "true", options=["--name", "fred"])
    assert taken.status == 125
    assert 'The container name "/fred" is already in use' in taken.stderr
    listed = rootless("ps", "-a").ok().stdout
    assert "Exited (3)" in listed
    assert "fred" in listed
    assert rootless("ps", "-q").ok().stdout == ""
    rootless("rm", "fred").ok()
    assert rootless("ps", "-aq").ok().stdout == ""
    host(rootless, "true", options=["--name", "fred"]).ok()


def test_renamed_container_has_its_new_name_only(rootless):
    for name in ("one", "other"):
        rootless("run", "--name", name, "--rootfs", "/", "true").ok()
    assert rootless("rename", "one", "two").ok().stdout == ""
    assert rootless("ps", "-a", "--format", "{{.Names}}").ok().stdout.split() == ["other", "two"]
    for new, said in (
        ("other", "already in use"),
        ("two", "same name as its current name"),
        ("a/b", "Invalid container name (a/b), only"),
    ):
        refused = rootless("rename", "two", new)
        assert refused.status == 1
        assert said in refused.stderr
    assert rootless("rename", "one", "three").status == 1
    rootless("container", "rename", "/two", "one").ok()
    assert rootless("rm", "one", "other").ok().stdout.split() == ["one", "other"]


def test_many_at_once(rootless):
    running = [
        rootless.popen("run", "--rm", "--rootfs", "/", "sh", "-c", f"exit {number}")
        for number in range(20)
    ]
    deadline = time.monotonic() + 120
    for number, process in enumerate(running):
        _, err = process.communicate(timeout=max(1, deadline - time.monotonic()))
        assert (process.returncode, err) == (number, b"")
    assert rootless("ps", "-aq").ok().stdout == ""


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--rootfs", "/no/such", "true"], 125, "/no/such does not exist"),
        (["--rootfs", "/etc/passwd", "true"], 125, "/etc/passwd is not a directory"),
        (["--rootfs", "/", "-m", "lots", "true"], 125, 'invalid argument "lots"'),
        (["--rootfs", "/", "--pull", "perhaps", "no"], 125, "invalid pull option: 'perhaps'"),
        (["no-such-image", "true"], 125, "Unable to find image 'no-such-image:latest' locally"),
        (["--pull", "never", "no-such-image"], 125, "No such image: no-such-image:latest"),
        (["--rootfs", "/"], 125, "no command specified"),
        (["--bogus"], 125, "unknown flag: --bogus\nSee 'rootless run --help'."),
        ([], 1, "'rootless run' requires at least 1 argument"),
    ],
)
def test_bad_input_is_one_clear_line(rootless, words, status, said):
    result = rootless("run", "--rm", *words)
    assert result.status == status
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_directory_that_is_no_root_file_system_is_refused(rootless, tmp_path):
    result = rootless("run", "--rm", "--rootfs", tmp_path, "true")
    assert result.status == 125
    assert f"{tmp_path} is not a root file system" in result.stderr


def test_debug_says_the_plan(rootless):
    result = rootless("--debug", "run", "--rm", "--rootfs", "/", "true").ok()
    assert "exec true" in result.stderr


def test_engine_is_a_python_api(rootless):
    program = (
        "from rootless import ContainerOptions, Engine\n"
        "command = ('sh', '-c', 'echo api; exit 4')\n"
        "options = ContainerOptions(rootfs='/', command=command, remove=True)\n"
        "print(Engine().run(options).status)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        env=rootless.env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.stdout == "api\n4\n", result.stderr
