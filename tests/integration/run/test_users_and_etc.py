"""Which users and groups a container knows, and the files of /etc that the engine writes."""

import os
import pwd
import tarfile

import pytest

pytestmark = pytest.mark.needs("userns", "fuse", "busybox")
ETC = ("/etc/hosts", "/etc/resolv.conf", "/etc/hostname")


@pytest.fixture
def box_without_caller(box):
    """The image names a user 1000, which is the first account of many machines."""
    script = "sed -i /^worker:/d /etc/passwd /etc/group"
    box("run", "--name", "changed", "box:1", "sh", "-c", script).ok()
    box("commit", "changed", "box:1").ok()
    return box


def sh(box, script, *options):
    return box("run", "--rm", *options, "box:1", "sh", "-c", script)


def supplementary(box, *options) -> set[str]:
    shown = sh(box, "grep ^Groups: /proc/self/status", *options).ok().stdout
    return set(shown.split()[1:])


@pytest.mark.needs("subuid")
@pytest.mark.parametrize(
    ("options", "groups"),
    [
        ((), {"0"}),
        (("-u", "worker"), {"1000", "50"}),
        (("-u", "1000:1001"), {"1001"}),
        (("-u", "1000:1001", "--group-add", "7"), {"1001", "7"}),
        (("-u", "4321"), {"0"}),
    ],
)
def test_primary_group_is_among_the_supplementary_ones(box, options, groups):
    """A setgid program changes the primary one, and a file that refuses the group must go on refusing (CVE-2022-36109)."""
    assert supplementary(box, *options) == groups


@pytest.mark.parametrize("options", [(), ("--read-only",)], ids=["", "read-only"])
def test_keep_id_names_the_caller(box_without_caller, options):
    box = box_without_caller
    name, uid = pwd.getpwuid(os.getuid()).pw_name, os.getuid()
    script = f"whoami; id -gn; echo $HOME; grep ^{name}: /etc/passwd; stat -c %a /etc/passwd"
    shown = sh(box, script, "--userns=keep-id", "-w", "/tmp", *options).ok().stdout.splitlines()
    assert shown[0] == name
    assert shown[2] == "/tmp"
    assert shown[3].startswith(f"{name}:*:{uid}:{os.getgid()}:")
    assert shown[3].endswith(":/tmp:/bin/sh")
    assert shown[4] == "644"


def test_keep_id_has_the_callers_home_where_it_is_mounted(box_without_caller, tmp_path):
    box = box_without_caller
    home = pwd.getpwuid(os.getuid()).pw_dir
    options = ("--userns=keep-id", "-v", f"{tmp_path}:{home}")
    assert sh(box, "echo $HOME; cd; pwd", *options).ok().stdout == f"{home}\n{home}\n"
    given = sh(box, "echo $HOME", "--userns=keep-id", "-e", "HOME=/x").ok()
    assert given.stdout == "/x\n"


def test_keep_id_leaves_a_mounted_passwd_alone(box, tmp_path):
    passwd = tmp_path / "passwd"
    passwd.write_text("root:x:0:0::/:/bin/sh\n")
    sh(box, "true", "--userns=keep-id", "-v", f"{passwd}:/etc/passwd").ok()
    assert passwd.read_text() == "root:x:0:0::/:/bin/sh\n"


def test_keep_id_leaves_a_passwd_alone_that_is_too_large_to_read(box_without_caller):
    rootless = box_without_caller
    script = "head -c 16800000 /dev/zero | tr '\\0' x >>/etc/passwd; md5sum /etc/passwd"
    made = rootless("run", "--name", "made", "box:1", "sh", "-c", script).ok()
    rootless("commit", "made", "box:2").ok()
    shown = rootless("run", "--rm", "--userns=keep-id", "box:2", "md5sum", "/etc/passwd").ok()
    assert shown.stdout == made.stdout


def test_keep_id_leaves_an_image_alone_that_has_the_number(box_without_caller):
    rootless = box_without_caller
    script = f"echo inside:x:{os.getuid()}:{os.getgid()}::/home/inside:/bin/sh >>/etc/passwd"
    rootless("run", "--name", "made", "box:1", "sh", "-c", script).ok()
    rootless("commit", "made", "box:2").ok()
    shown = rootless(
        "run", "--rm", "--userns=keep-id", "box:2", "sh", "-c", "whoami; echo $HOME"
    ).ok()
    assert shown.stdout == "inside\n/home/inside\n"


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_files_of_the_engine_have_their_modes_whatever_the_umask(box, umask):
    before = os.umask(umask)
    try:
        shown = sh(box, f"stat -c '%a %u' {' '.join(ETC)}").ok()
    finally:
        os.umask(before)
    assert shown.stdout == "644 0\n" * 3
    directory = next((box.data / "rootless/containers").glob(".new*"), None)
    assert directory is None


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_files_of_a_container_have_their_modes_whatever_the_umask(box, umask):
    before = os.umask(umask)
    try:
        box("run", "--name", "kept", "box:1", "true").ok()
    finally:
        os.umask(before)
    (directory,) = (box.data / "rootless/containers").glob("?" * 64)
    modes = {path.name: oct(path.stat().st_mode & 0o7777) for path in directory.iterdir()}
    assert oct(directory.stat().st_mode & 0o7777) == "0o700"
    assert modes["container.json"] == "0o600"
    assert {modes[name] for name in ("config.json", "hosts", "hostname", "resolv.conf")} == {
        "0o644"
    }
    assert {modes[name] for name in ("upper", "work", "rootfs")} == {"0o755"}
    assert modes["engine.log"] == "0o600"


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_mount_points_of_the_files_are_empty_files_of_root(box, tmp_path, umask):
    before = os.umask(umask)
    try:
        box("run", "--name", "kept", "box:1", "true").ok()
    finally:
        os.umask(before)
    found = exported(box, "kept", tmp_path)
    assert {path: found[path.lstrip("/")] for path in ETC} == dict.fromkeys(ETC, (0o644, 0, 0, 0))
    # As with Docker: what the engine needs is no change of the user's.
    assert not set(ETC) & set(box("diff", "kept").ok().stdout.split())


def test_files_of_the_engine_have_no_mount_points_below_another_mount(box, tmp_path):
    mine = tmp_path / "etc"
    mine.mkdir()
    box("run", "--name", "kept", "-v", f"{mine}:/etc", "box:1", "true").ok()
    assert not {path.lstrip("/") for path in ETC} & exported(box, "kept", tmp_path).keys()
    assert sorted(path.name for path in mine.iterdir()) == ["hostname", "hosts", "resolv.conf"]


def exported(box, container, tmp_path) -> dict[str, tuple[int, int, int, int]]:
    """Mode, owner, group and size by name of what `export` writes."""
    archive = tmp_path / "exported.tar"
    box("export", "-o", str(archive), container).ok()
    with tarfile.open(archive) as tar:
        return {each.name: (each.mode, each.uid, each.gid, each.size) for each in tar}


def test_read_only_makes_the_files_of_the_engine_read_only(box, tmp_path):
    script = "; ".join(f"(echo x >>{path}) 2>/dev/null && echo wrote {path}" for path in ETC)
    assert sh(box, script, "--read-only").stdout == ""
    assert sh(box, script).stdout.count("wrote") == 3
    mine = tmp_path / "hosts"
    mine.write_text("")
    assert sh(box, script, "--read-only", "-v", f"{mine}:/etc/hosts").stdout == "wrote /etc/hosts\n"
    assert mine.read_text() == "x\n"
