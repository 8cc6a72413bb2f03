"""What a container is shut off from, seen from inside and from the host."""

import os
from pathlib import Path

import pytest

from rootless.runtime.parent import Stdio
from tests.integration.runtime.conftest import ended

pytestmark = pytest.mark.needs("userns", "busybox")

NAMESPACES = ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup")


def links(*names):
    return {name: os.readlink(f"/proc/self/ns/{name}") for name in names}


def test_launch_by_default_has_own_namespaces(box):
    result = box.sh(
        "cd /proc/self/ns; for n in user mnt pid net ipc uts cgroup; do readlink $n; done"
    )
    assert result.status == 0
    assert not set(result.out.split()) & set(links(*NAMESPACES).values())


def test_launch_host_namespaces_are_shared(box):
    result = box.sh(
        "cd /proc/self/ns; for n in net pid ipc uts; do readlink $n; done",
        network=("host",),
        pid="host",
        ipc="host",
        uts="host",
    )
    assert result.out.split() == list(links("net", "pid", "ipc", "uts").values())


@pytest.mark.needs("subuid")
def test_launch_range_map_is_in_uid_map(box):
    result = box.sh("cat /proc/self/uid_map; id -u; id -g")
    lines = [line.split() for line in result.out.splitlines()]
    assert lines[0] == ["0", str(os.getuid()), "1"]
    assert lines[1][0] == "1"
    assert int(lines[1][2]) >= 1000
    assert lines[2:] == [["0"], ["0"]]


def test_launch_single_map_is_one_id(box):
    result = box.sh("cat /proc/self/uid_map /proc/self/setgroups", single=True)
    assert result.out.split() == ["0", str(os.getuid()), "1", "deny"]


@pytest.mark.parametrize("single", [True, pytest.param(False, marks=pytest.mark.needs("subuid"))])
def test_launch_keep_id_is_the_caller(box, single):
    own = f"{os.getuid()}:{os.getgid()}"
    result = box.sh(
        "echo $(id -u):$(id -g); touch /mnt/made",
        single=single,
        userns="keep-id",
        user=own,
        volume=(f"{box.directory}:/mnt",),
    )
    assert result.out.split() == [own], result.err
    assert (box.directory / "made").stat().st_uid == os.getuid()


def test_launch_process_has_no_capability_on_the_host(box):
    read, write = os.pipe()
    null = os.open("/dev/null", os.O_RDWR)
    process = box.start("cat", stdio=Stdio(read, null, null))
    os.close(read)
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
        # Its capabilities are those of a user namespace that is not ours, which the link proves.
        assert os.readlink(f"/proc/{process.pid}/ns/user") != os.readlink("/proc/self/ns/user")
        assert f"Uid:\t{os.getuid()}\t" in status
        assert "CapBnd:\t00000000a80425fb" in status
    finally:
        os.close(write)
        os.close(null)
    assert ended(process) == 0


def test_launch_masked_paths_read_as_empty(box):
    result = box.sh("cat /proc/keys /proc/timer_list /proc/interrupts; ls -A /sys/firmware")
    assert result.status == 0
    assert result.out == ""


def test_launch_read_only_paths_refuse_writing(box):
    result = box.sh("echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /sys/kernel/x; echo end")
    assert result.out == "end\n"
    assert "/proc/sys/net/ipv4/ip_forward: Read-only file system" in result.err
    assert "/sys/kernel/x: Read-only file system" in result.err


def test_launch_host_network_has_sys_read_only_all_the_way_down(box):
    result = box.sh("awk '$2 ~ /^\\/sys/ {print $4}' /proc/mounts", network=("host",))
    assert result.out
    assert all(line.split(",")[0] == "ro" for line in result.out.splitlines())


def test_launch_unmasked_paths_are_writable(box):
    script = "echo 1 > /proc/sys/net/ipv4/ip_forward && cat /proc/sys/net/ipv4/ip_forward"
    result = box.sh(script, security_opt=("systempaths=unconfined",), cap_add=("NET_ADMIN",))
    assert result.out == "1\n"


def test_launch_read_only_root_keeps_volumes_writable(box):
    result = box.sh(
        "touch /x; touch /mnt/y && echo made; touch /tmp2/z && echo made; touch /dev/shm/s && echo made",
        read_only=True,
        volume=(f"{box.directory}:/mnt",),
        tmpfs=("/tmp2",),
    )
    assert result.out == "made\nmade\nmade\n"
    assert "/x: Read-only file system" in result.err


def test_launch_read_only_volume_refuses_writing(box):
    result = box.sh("touch /mnt/y", volume=(f"{box.directory}:/mnt:ro",))
    assert "Read-only file system" in result.err
    assert not (box.directory / "y").exists()


def test_launch_no_new_privileges_is_set_on_request(box):
    script = "grep NoNewPrivs /proc/self/status"
    assert box.sh(script).out.split() == ["NoNewPrivs:", "0"]
    on = box.sh(script, security_opt=("no-new-privileges",))
    assert on.out.split() == ["NoNewPrivs:", "1"]


def test_launch_cap_drop_all_leaves_none(own_box):
    result = own_box.sh(
        "grep Cap /proc/self/status; chown 1:1 /", cap_drop=("ALL",), cap_add=("CHOWN",)
    )
    values = dict(line.split() for line in result.out.splitlines())
    assert values["CapEff:"] == values["CapPrm:"] == values["CapBnd:"] == "0000000000000001"
    assert values["CapInh:"] == values["CapAmb:"] == "0000000000000000"


@pytest.mark.needs("subuid")
def test_launch_ordinary_user_has_no_capabilities(box):
    result = box.sh("id -u; grep Cap /proc/self/status", user="worker")
    lines = result.out.split()
    assert lines[0] == "1000"
    assert lines[1:9] == [
        *("CapInh:", "0000000000000000", "CapPrm:", "0000000000000000"),
        *("CapEff:", "0000000000000000", "CapBnd:", "00000000a80425fb"),
    ]


def test_launch_seccomp_withholds_mounts_and_namespaces(box):
    result = box.sh("mount -t tmpfs x /mnt; unshare -U true; grep Seccomp: /proc/self/status")
    assert result.out.split() == ["Seccomp:", "2"]
    assert "Operation not permitted" in result.err


def test_launch_privileged_may_mount(box):
    result = box.sh("mount -t tmpfs x /tmp && grep -c ' /tmp ' /proc/mounts", privileged=True)
    assert result.out == "1\n", result.err


def test_launch_leaves_no_descriptor_open(box):
    leaked = os.open("/etc", os.O_RDONLY)
    os.set_inheritable(leaked, True)
    try:
        result = box.sh("ls /proc/self/fd")
    finally:
        os.close(leaked)
    # ls itself has the directory open as the fourth.
    assert result.out.split() == ["0", "1", "2", "3"]


def test_launch_bind_target_through_hostile_links_stays_in_the_root(own_box):
    outside = own_box.directory / "outside"
    outside.mkdir()
    (own_box.root / "escape").symlink_to("../../../../../../" + str(outside))
    (own_box.root / "absolute").symlink_to(outside)
    source = own_box.directory / "source"
    source.mkdir()
    (source / "here").write_text("")
    result = own_box.sh(
        f"ls {outside}/a {outside}/b",
        volume=(f"{source}:/escape/a", f"{source}:/absolute/b"),
    )
    assert result.out.count("here") == 2, result.err
    assert list(outside.iterdir()) == []


def test_launch_dangling_link_as_target_is_made_inside(own_box):
    (own_box.root / "etc/resolv.conf").symlink_to("../run/systemd/resolve/stub-resolv.conf")
    result = own_box.sh("cat /etc/hosts; test -f /run/systemd/resolve/stub-resolv.conf && echo yes")
    assert result.out.endswith("yes\n")


def test_launch_command_through_magic_link_is_refused(own_box):
    script = own_box.root / "script"
    script.write_text("#!/proc/self/exe\n")
    script.chmod(0o755)
    from rootless.errors import CommandNotExecutableError

    for command in ("/proc/self/exe", "/script"):
        with pytest.raises(CommandNotExecutableError, match="permission denied"):
            own_box.run(command)


def test_launch_working_directory_through_magic_link_is_refused(box):
    from rootless.errors import LaunchError

    with pytest.raises(LaunchError, match="working directory"):
        box.run("true", workdir="/proc/self/fd/4")


def test_launch_working_directory_below_a_leaked_descriptor_makes_nothing_on_the_host(
    box, tmp_path
):
    from rootless.errors import LaunchError

    outside = tmp_path / "outside"
    outside.mkdir()
    leaked = os.open(outside, os.O_RDONLY)
    os.set_inheritable(leaked, True)
    try:
        for path in (f"/proc/self/fd/{leaked}/evil", f"/proc/1/fd/{leaked}/evil/deep"):
            with pytest.raises(LaunchError, match="working directory"):
                box.run("true", workdir=path)
    finally:
        os.close(leaked)
    assert list(outside.iterdir()) == []


def test_launch_user_files_are_not_read_through_a_leaked_descriptor(own_box, tmp_path):
    """An image's /etc/passwd may be a link to what the caller has open."""
    from rootless.errors import LaunchError

    (tmp_path / "passwd").write_text("outsider:x:5:5::/:/bin/sh\n")
    leaked = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(leaked, True)
    (own_box.root / "etc/passwd").unlink(missing_ok=True)
    (own_box.root / "etc/passwd").symlink_to(f"/proc/self/fd/{leaked}/passwd")
    try:
        with pytest.raises(LaunchError, match="look up the user"):
            own_box.run("true", user="outsider")
    finally:
        os.close(leaked)


def test_launch_volume_options_reach_the_mount(box):
    flags = "noexec,nosuid,nodev"
    result = box.sh(
        "grep ' /mnt ' /proc/mounts; cp /bin/busybox /mnt/busybox && /mnt/busybox true",
        volume=(f"{box.directory}:/mnt:{flags}",),
    )
    assert result.status == 126
    assert set(flags.split(",")) <= set(result.out.split()[3].split(","))


def test_launch_volume_is_read_only_with_what_is_mounted_below_it(box):
    result = box.sh(
        "for d in $(awk '$2 ~ /^.h/ {print $4}' /proc/mounts); do echo $d; done | cut -d, -f1 | sort -u",
        volume=("/proc:/h/proc:ro", "/dev:/h/dev:ro"),
    )
    assert result.out == "ro\n"
