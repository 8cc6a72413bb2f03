"""System calls that older kernels do not have: the engine does without them."""

import subprocess
import sys

import pytest

from tests.support.without_calls import CLOSE_RANGE, MOUNT_SETATTR, without

pytestmark = pytest.mark.needs("userns", "fuse", "busybox")


IN_A_NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount")


class OldKernel:
    """Scripts on a kernel that seems to have neither mount_setattr (5.12) nor close_range (5.9), as the root of a
    user namespace."""

    def __init__(self, env):
        self.env = env

    def run(self, script, **options):
        result = subprocess.run(
            [*IN_A_NAMESPACE, *without((MOUNT_SETATTR, CLOSE_RANGE)), "sh", "-ec", script],
            env=self.env | {"PYTHON": sys.executable},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            **options,
        )
        assert result.returncode == 0, result
        return result.stdout


@pytest.fixture
def old_kernel(rootless, busybox_image):
    assert rootless("import", busybox_image, "small").status == 0
    return OldKernel(rootless.env)


def test_bind_is_read_only_with_what_is_mounted_below(old_kernel, tmp_path):
    (tmp_path / "a tree" / "below").mkdir(parents=True)
    script = f"""
        cd {tmp_path}/a?tree
        echo kept >file
        mount -t tmpfs -o nosuid,nodev,noatime none below
        mkdir below/deep
        mount -t tmpfs none below/deep
        echo kept >below/deep/file
        "$PYTHON" -m rootless run --rm -v "$PWD:/in:ro" small sh -ec '
            cat /in/file /in/below/deep/file
            for place in /in /in/below /in/below/deep; do
                if touch $place/file; then exit 1; fi
            done
            grep " /in/below " /proc/self/mountinfo | cut -d" " -f6'
        echo writable >file
    """
    options = old_kernel.run(script).splitlines()
    assert options[:2] == ["kept", "kept"]
    assert set(options[2].split(",")) == {"ro", "nosuid", "nodev", "noatime"}


def test_bind_is_read_only_alone_where_asked(old_kernel, tmp_path):
    (tmp_path / "below").mkdir()
    script = f"""
        mount -t tmpfs none {tmp_path}/below
        "$PYTHON" -m rootless run --rm --mount type=bind,src={tmp_path},dst=/in,readonly,bind-recursive=writable \
            small sh -ec 'touch /in/below/file; if touch /in/file; then exit 1; fi'
        test -e {tmp_path}/below/file
    """
    old_kernel.run(script)


def test_flags_of_a_bind_are_added_to_those_it_has(old_kernel, tmp_path):
    script = f"""
        mount -t tmpfs -o nosuid none {tmp_path}
        "$PYTHON" -m rootless run --rm -v {tmp_path}:/in:noexec small grep " /in " /proc/self/mountinfo
    """
    (line,) = old_kernel.run(script).splitlines()
    assert {"rw", "nosuid", "noexec", "relatime"} == set(line.split()[5].split(","))


def test_root_and_paths_of_the_kernel_are_read_only(old_kernel):
    script = """
        "$PYTHON" -m rootless run --rm --read-only small sh -ec '
            touch /dev/shm/file
            if touch /etc/file; then exit 1; fi
            grep -q " /proc/sys ro," /proc/self/mountinfo
            grep -q " /sys ro," /proc/self/mountinfo'
    """
    old_kernel.run(script)


def test_root_that_is_a_directory_is_bound(old_kernel):
    assert old_kernel.run('"$PYTHON" -m rootless run --rm --rootfs / echo here') == "here\n"


def test_no_descriptor_of_the_caller_is_open_in_the_container(old_kernel):
    script = """
        exec 7</etc/passwd
        "$PYTHON" -m rootless run --rm small ls /proc/self/fd
        "$PYTHON" -m rootless run --rm --init small ls /proc/1/fd
        "$PYTHON" -m rootless run -d --name other small sleep 100
        "$PYTHON" -m rootless exec other ls /proc/self/fd
        "$PYTHON" -m rootless rm -f other
    """
    words = old_kernel.run(script).split()
    # The last is that of the directory which ls reads. The init has none.
    assert words[:4] == words[5:9] == ["0", "1", "2", "3"], words
