"""--nv and --rocm, with libraries, programs and specifications that the tests make."""

import json
import os
import struct

import pytest

pytestmark = pytest.mark.needs("userns", "fuse", "busybox")
FLAGS = {"x86_64": 0x0303, "aarch64": 0x0A03}


def write_cache(path, libraries):
    """A cache of ldconfig (glibc, dl-cache.h) with libraries by name."""
    strings, table = b"", b""
    base = 48 + 24 * len(libraries)
    for name, place in libraries.items():
        texts = (name.encode() + b"\0", str(place).encode() + b"\0")
        first = base + len(strings)
        table += struct.pack(
            "=iIIIQ", FLAGS[os.uname().machine], first, first + len(texts[0]), 0, 0
        )
        strings += b"".join(texts)
    head = struct.pack("=20sII5I", b"glibc-ld.so.cache1.1", len(libraries), len(strings), *[0] * 5)
    path.write_bytes(head + table + strings)


@pytest.fixture
def driver(tmp_path):
    """A host with a driver: variables that point to its cache of libraries and its programs."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "bin").mkdir()
    libraries = {}
    for name in ("libcuda.so.1", "libnvidia-ml.so.1", "libamdhip64.so.6", "libc.so.6"):
        (tmp_path / "lib" / name).write_text(f"{name} of the host")
        libraries[name] = tmp_path / "lib" / name
    libraries["libnvidia-gone.so.1"] = tmp_path / "lib/gone"
    write_cache(tmp_path / "cache", libraries)
    program = tmp_path / "bin/nvidia-smi"
    program.write_text("#!/bin/sh\necho one GPU\n")
    program.chmod(0o755)
    return {
        "ROOTLESS_LD_CACHE": str(tmp_path / "cache"),
        "PATH": f"{tmp_path}/bin:{os.environ['PATH']}",
    }


def test_libraries_and_programs_of_the_driver_are_bound(cluster, driver, tmp_path):
    script = (
        "cd /.singularity.d/libs; ls; cat libcuda.so.1; echo; echo $LD_LIBRARY_PATH; "
        f"{tmp_path}/bin/nvidia-smi"
    )
    shown = cluster.text("exec", "--nv", "box:1", "sh", "-c", script, env=driver)
    assert shown.splitlines() == [
        "libcuda.so.1",
        "libnvidia-ml.so.1",
        "libcuda.so.1 of the host",
        "/.singularity.d/libs",
        "one GPU",
    ]
    amd = cluster.text("exec", "--rocm", "box:1", "ls", "/.singularity.d/libs", env=driver)
    assert amd == "libamdhip64.so.6\n"


def test_a_specification_takes_the_place_of_libraries(cluster, driver, tmp_path):
    specs = tmp_path / "cdi"
    specs.mkdir()
    device = {"name": "all", "containerEdits": {"env": ["FROM=specification"]}}
    document = {"cdiVersion": "0.6.0", "kind": "nvidia.com/gpu", "devices": [device]}
    (specs / "nvidia.json").write_text(json.dumps(document))
    script = "echo $FROM; ls /.singularity.d/libs 2>/dev/null"
    words = ("--nv", "--cdi-dirs", specs, "box:1", "sh", "-c", f"{script}; true")
    assert cluster.text("exec", *words, env=driver) == "specification\n"


def test_a_host_without_gpus_is_a_warning(cluster, tmp_path):
    write_cache(tmp_path / "cache", {})
    env = {"ROOTLESS_LD_CACHE": str(tmp_path / "cache"), "APPTAINER_NV": "1"}
    done = cluster("exec", "box:1", "echo", "runs", env=env)
    assert (done.returncode, done.stdout) == (0, b"runs\n")
    assert done.stderr == b"rootless: no NVIDIA libraries were found on this host\n"


def test_libraries_come_after_those_of_the_image(cluster, driver, scripted_tree):
    shown = cluster.text(
        "exec",
        "--nv",
        "--env",
        "LD_LIBRARY_PATH=/opt/lib",
        scripted_tree,
        "sh",
        "-c",
        "echo $LD_LIBRARY_PATH",
        env=driver,
    )
    assert shown == "/opt/lib:/.singularity.d/libs\n"
