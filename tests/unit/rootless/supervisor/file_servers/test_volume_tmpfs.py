"""How a volume that is a tmpfs is mounted."""

import pytest

from rootless.supervisor.file_servers.volume_tmpfs import TmpfsMount, tmpfs_mount
from rootless.syscalls.mount_flags import MS_NOEXEC, MS_NOSUID, MS_RDONLY


@pytest.mark.parametrize(
    ("words", "flags", "data"),
    [
        (None, 0, ""),
        ("size=1m,uid=5,mode=700", 0, "size=1m,uid=5,mode=700"),
        ("ro,noexec,size=1m,nosuid", MS_RDONLY | MS_NOEXEC | MS_NOSUID, "size=1m"),
        ("rw,exec,defaults,relatime", 0, ""),
        (",nosuch,", 0, "nosuch"),
    ],
)
def test_words_of_a_tmpfs_are_flags_and_data_of_mount(words, flags, data):
    options = {"type": "tmpfs", "device": "mem", **({} if words is None else {"o": words})}
    assert tmpfs_mount(options) == TmpfsMount("mem", flags, data)
