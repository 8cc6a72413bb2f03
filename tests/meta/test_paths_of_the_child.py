"""The code that runs inside a container opens no path that an image could have laid, except through openat2(2).

A path is walked by the kernel beneath the root and without magic links only if `rootless.runtime.steps.context` opens it. Calls
that take a plain path are therefore forbidden in the modules that run between clone and exec, but for those below.
"""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
FILES = (
    # Not overlay.py: all its paths are in the container's directory on the host.
    *(
        ROOT / f"rootless/runtime/steps/{name}.py"
        for name in ("attributes", "context", "filesystem")
    ),
    ROOT / "rootless/runtime/child.py",
    ROOT / "rootless/runtime/enter.py",
    ROOT / "rootless/runtime/execution.py",
    ROOT / "rootless/runtime/join.py",
)
WALKING = """
    access chdir chmod chown getxattr lchown link listdir lstat makedirs mkdir mkfifo mknod open readlink remove removexattr
    rename rmdir scandir setxattr stat statvfs symlink truncate unlink utime walk
"""
ALLOWED = {
    (
        "filesystem.py",
        'os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)',
    ): "the host's, before the root is entered",
    (
        "filesystem.py",
        "os.open(self.mountpoint, _DIRECTORY)",
    ): "the host's, before the root is entered",
    ("filesystem.py", "os.open(self.place, _DIRECTORY)"): "the host's, before the root is entered",
    ("filesystem.py", "os.open(self.path, _DIRECTORY)"): "the host's, before the root is entered",
    ("filesystem.py", 'os.chdir("/")'): "the root itself",
    ("filesystem.py", 'os.open("/", _DIRECTORY)'): "the root itself",
    ("enter.py", 'posix.open("/", _DIRECTORY)'): "the root itself",
    (
        "enter.py",
        'posix.open("/dev/null", posix.O_WRONLY | posix.O_CLOEXEC)',
    ): "the host's, before the namespaces are joined",
    (
        "enter.py",
        "posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)",
    ): "the command, after it has become the user",
    ("enter.py", "posix.stat(interpreter)"): "looked at only: exec walks the path itself",
    (
        "enter.py",
        'posix.open(f"{group}/cgroup.procs", posix.O_WRONLY | posix.O_CLOEXEC)',
    ): "the host's, before the namespaces are joined",
    ("context.py", "os.stat(tree)"): "a descriptor",
    ("filesystem.py", "os.stat(at)"): "a descriptor",
    ("filesystem.py", "os.listdir(directory)"): "a descriptor",
    ("attributes.py", 'open(path, "wb")'): "/proc of the host, before the root is entered",
    ("attributes.py", 'open(fd, "rb")'): "a descriptor",
    ("execution.py", "posix.stat(path)"): "looked at only: exec walks the path itself",
    (
        "execution.py",
        "posix.access(path, posix.X_OK, effective_ids=True)",
    ): "looked at only: exec walks the path itself",
}


def calls(path: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        function = node.func
        is_open = isinstance(function, ast.Name) and function.id == "open"
        is_os = (
            isinstance(function, ast.Attribute)
            and isinstance(function.value, ast.Name)
            and function.value.id in {"os", "posix"}
            and function.attr in WALKING.split()
        )
        given = {keyword.arg for keyword in node.keywords}
        # Beside a descriptor the name is one component, which no link can lead away.
        if (is_open or is_os) and not given & {"dir_fd", "src_dir_fd"}:
            found.append(ast.unparse(node))
    return found


def test_no_call_walks_a_path_of_an_image():
    found = {(path.name, call.replace("'", '"')) for path in FILES for call in calls(path)}
    assert found - ALLOWED.keys() == set(), "open it by open_in_root, or say here whose path it is"
    assert ALLOWED.keys() - found == set(), "no longer there"
