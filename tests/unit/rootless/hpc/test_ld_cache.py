"""The cache of ldconfig, read, and what of it belongs to a vendor."""

import platform
import struct

import pytest

from rootless.errors import InvalidDocumentError
from rootless.hpc.gpu_files import AMD, NVIDIA, libraries_of
from rootless.hpc.ld_cache import parse_ld_cache


def made_cache(entries, *, old=False):
    """A cache in the new format, with one in the old format before it if `old`."""
    strings, table = b"", []
    base = 48 + 24 * len(entries)
    for flags, name, path in entries:
        places = []
        for text in (name, path):
            places.append(base + len(strings))
            strings += text.encode() + b"\0"
        table.append(struct.pack("=iIIIQ", flags, *places, 0, 0))
    head = struct.pack("=20sII5I", b"glibc-ld.so.cache1.1", len(entries), len(strings), *[0] * 5)
    cache = head + b"".join(table) + strings
    if old:
        before = struct.pack("=12sI", b"ld.so-1.7.0\0", 1) + bytes(12)
        cache = before.ljust(-(-len(before) // 8) * 8, b"\0") + cache
    return cache


@pytest.mark.parametrize("old", [False, True])
def test_libraries_of_the_machine_by_name(old):
    cache = made_cache(
        [
            (0x0303, "libcuda.so.1", "/usr/lib/libcuda.so.1"),
            (0x0303, "libcuda.so.1", "/usr/lib/later/libcuda.so.1"),
            (0x0003, "libcuda.so.1", "/usr/lib32/libcuda.so.1"),
            (0x0A03, "libother.so.2", "/arm/libother.so.2"),
        ],
        old=old,
    )
    assert parse_ld_cache(cache, "x86_64") == {"libcuda.so.1": "/usr/lib/libcuda.so.1"}
    assert parse_ld_cache(cache, "aarch64") == {"libother.so.2": "/arm/libother.so.2"}


def test_the_machines_own_cache_has_the_c_library():
    path = "/etc/ld.so.cache"
    with open(path, "rb") as file:
        found = parse_ld_cache(file.read(), platform.machine())
    assert found["libc.so.6"].endswith("/libc.so.6")


@pytest.mark.parametrize("data", [b"", b"x" * 100, made_cache([(0x303, "a", "b")])[:60]])
def test_a_damaged_cache_is_refused(data):
    with pytest.raises(InvalidDocumentError):
        parse_ld_cache(data, "x86_64")


def test_libraries_of_a_vendor():
    names = [
        "libcuda.so.1",
        "libnvidia-ml.so.1",
        "libnvidia-ptxjitcompiler.so.1",
        "libcudart.so.12",
        "libc.so.6",
        "libamdhip64.so.6",
        "libhsa-runtime64.so.1",
    ]
    cache = {name: f"/lib/{name}" for name in names}
    assert list(libraries_of(NVIDIA, cache)) == names[:3]
    assert list(libraries_of(AMD, cache)) == names[5:]
