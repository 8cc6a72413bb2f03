"""From options and image to config.json."""

import json

import pytest

from rootless.errors import UsageError
from rootless.runtime.extensions import CHOWN, PRETEND_OWNERSHIP, USER
from rootless.runtime.idmap import Subordinate, UserNamespaceMode, make_maps
from rootless.spec.etc_files import APT_SANDBOX_PATH, etc_files, hosts_file, resolv_conf
from rootless.spec.host import HostFacts
from rootless.spec.options import Dns, HostEntry
from rootless.spec.runtime_spec import make_spec
from tests.support.run_flags import flags_to_options

RANGE = (Subordinate(100000, 65536),)
MAPS = make_maps(UserNamespaceMode(), uid=7, gid=7, subuids=RANGE, subgids=RANGE)
SINGLE = make_maps(UserNamespaceMode(), uid=7, gid=7, subuids=(), subgids=())


def options_of(**flags):
    return flags_to_options(**flags)


HOST = HostFacts()


def spec_of(image=None, maps=MAPS, host=HOST, files=None, **flags):
    flags.setdefault("command", ("cmd",) if image is None else ())
    return make_spec(
        options_of(**flags),
        container_id="f" * 64,
        rootfs="/r",
        image_config=image,
        host=host,
        id_maps=maps,
        files=files or {},
        seccomp=None,
    )


IMAGE = {
    "Entrypoint": ["/entry", "-x"],
    "Cmd": ["default"],
    "Env": ["PATH=/image", "A=image"],
    "WorkingDir": "/srv",
    "User": "app",
}


@pytest.mark.parametrize(
    ("flags", "args"),
    [
        ({}, ["/entry", "-x", "default"]),
        ({"command": ("given",)}, ["/entry", "-x", "given"]),
        ({"entrypoint": "/new"}, ["/new"]),
        ({"entrypoint": "/new", "command": ("a", "b")}, ["/new", "a", "b"]),
        ({"entrypoint": "", "command": ("a",)}, ["a"]),
    ],
)
def test_arguments_are_entrypoint_and_command(flags, args):
    assert spec_of(IMAGE, **flags)["process"]["args"] == args


def test_no_command_is_refused():
    with pytest.raises(UsageError, match="no command specified"):
        spec_of({})
    with pytest.raises(UsageError, match="no command specified"):
        spec_of(IMAGE, entrypoint="")


def test_environment_is_defaults_image_user():
    env = spec_of(IMAGE, env=("A=user", "B=1"), tty=True)["process"]["env"]
    assert env == ["PATH=/image", "HOSTNAME=ffffffffffff", "TERM=xterm", "A=user", "B=1"]
    # A variable without a value takes the image's away.
    assert "A=image" not in spec_of(IMAGE, env=("A",))["process"]["env"]


def test_image_directory_and_user_give_way_to_flags():
    spec = spec_of(IMAGE)
    assert spec["process"]["cwd"] == "/srv"
    assert spec["annotations"][USER] == "app"
    spec = spec_of(IMAGE, workdir="/w", user="5:6")
    assert spec["process"]["cwd"] == "/w"
    assert spec["annotations"][USER] == "5:6"
    assert spec["process"]["user"] == {"uid": 5, "gid": 6}


def mounts_of(spec):
    return {mount["destination"]: mount for mount in spec["mounts"]}


def test_default_mounts_follow_the_namespaces():
    own = mounts_of(spec_of(network=("none",), host=HostFacts(cgroup2=True)))
    assert own["/proc"]["type"] == "proc"
    assert own["/sys"]["type"] == "sysfs"
    assert own["/dev/shm"]["type"] == "tmpfs"
    assert own["/sys/fs/cgroup"]["type"] == "cgroup2"
    assert "mode=755" in own["/dev"]["options"]
    shared = mounts_of(spec_of(network=("host",), pid="host", ipc="host", cgroupns="host"))
    for path in ("/proc", "/sys", "/dev/shm"):
        assert shared[path]["type"] == "bind"
    assert "rro" in shared["/sys"]["options"]
    assert "/sys/fs/cgroup" not in shared


def test_mounts_of_the_user_take_the_place_of_defaults():
    spec = spec_of(
        volume=("/a:/dev/shm", "/h:/etc/hosts", "/deep:/x/y"),
        mount=("type=bind,src=/b,dst=/x",),
        files={"/etc/hosts": "/ours", "/etc/hostname": "/ours2"},
    )
    mounts = mounts_of(spec)
    assert mounts["/dev/shm"]["source"] == "/a"
    assert mounts["/etc/hosts"]["source"] == "/h"
    assert mounts["/etc/hostname"]["source"] == "/ours2"
    order = [mount["destination"] for mount in spec["mounts"]]
    assert len(order) == len(set(order))
    assert order.index("/x") < order.index("/x/y")
    assert order.index("/dev") < order.index("/dev/shm")


def test_tmpfs_options_of_the_user_come_last():
    mounts = mounts_of(spec_of(tmpfs=("/t:exec,size=10%", "/u:mode=700")))
    assert mounts["/t"]["options"] == [
        *("nosuid", "nodev", "noexec"),
        *("exec", "size=10%", "mode=1777"),
    ]
    assert mounts["/u"]["options"] == ["nosuid", "nodev", "noexec", "mode=700"]


def test_masks_are_dockers_and_can_be_changed():
    linux = spec_of()["linux"]
    assert "/proc/kcore" in linux["maskedPaths"]
    assert "/proc/sys" in linux["readonlyPaths"]
    linux = spec_of(security_opt=("mask=/secret", "unmask=/proc/kcore:/proc/sys"))["linux"]
    assert "/secret" in linux["maskedPaths"]
    assert "/proc/kcore" not in linux["maskedPaths"]
    assert "/proc/sys" not in linux["readonlyPaths"]
    linux = spec_of(privileged=True)["linux"]
    assert linux["maskedPaths"] == linux["readonlyPaths"] == []


def test_limits_above_the_accounts_are_refused():
    host = HostFacts(hard_limits={"nofile": 100})
    assert spec_of(host=host, ulimit=("nofile=50:100",))["process"]["rlimits"] == [
        {"type": "RLIMIT_NOFILE", "soft": 50, "hard": 100}
    ]
    for value in ("101", "-1"):
        with pytest.raises(UsageError, match="above what this account may have"):
            spec_of(host=host, ulimit=(f"nofile={value}",))


def test_one_id_is_noted_for_the_launcher():
    assert spec_of(maps=SINGLE)["annotations"][PRETEND_OWNERSHIP] == "true"
    assert PRETEND_OWNERSHIP not in spec_of()["annotations"]


@pytest.mark.parametrize(
    ("flags", "mode"),
    [({}, "record-if-possible"), ({"chown": "record"}, "record"), ({"chown": "refuse"}, "refuse")],
)
def test_what_chown_does_with_one_id_is_noted_for_the_launcher(flags, mode):
    assert spec_of(maps=SINGLE, **flags)["annotations"][CHOWN] == mode
    assert CHOWN not in spec_of(**flags)["annotations"]


def test_spec_is_json_and_the_same_each_time():
    flags = {"cap_add": ("ALL",), "label": ("b=1", "a=2"), "sysctl": ("kernel.shmmax=1",)}
    once, twice = (json.dumps(spec_of(**flags), sort_keys=True) for _ in range(2))
    assert once == twice


def test_hosts_file_resolves_the_gateway():
    text = hosts_file("box", [HostEntry("h", "host-gateway")], gateway="10.0.2.2")
    assert "10.0.2.2\th\n" in text
    assert "\tbox\n" in text
    with pytest.raises(UsageError, match="no gateway"):
        hosts_file("box", [HostEntry("h", "host-gateway")], gateway=None)


def test_resolv_conf_is_the_hosts_with_flags_in_place():
    host = "# made\nnameserver 1.1.1.1\nsearch a b\noptions ndots:2\n"
    assert resolv_conf(host, Dns()) == host
    changed = resolv_conf(host, Dns(("9.9.9.9",), ("c",), ()))
    assert changed == "# made\noptions ndots:2\nnameserver 9.9.9.9\nsearch c\n"
    assert "search" not in resolv_conf(host, Dns(search=(".",)))


def test_apts_sandbox_is_for_one_id_only():
    def files(maps):
        made = etc_files(
            options_of(), hostname="h", host_resolv_conf="", id_maps=maps, has_apt=lambda: True
        )
        return {target for target, _ in made.values()}

    assert APT_SANDBOX_PATH in files(SINGLE)
    assert APT_SANDBOX_PATH not in files(MAPS)


def test_domain_name_is_in_the_spec() -> None:
    assert spec_of(domainname="example.org")["domainname"] == "example.org"
