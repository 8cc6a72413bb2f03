"""The engine's own program is out of the container's reach: CVE-2019-5736 and its relatives.

An image that gets /proc/self/exe executed while that is the engine's interpreter runs a program of the host inside, and
may then open it for writing. Whether the kernel refuses to write to a file that is being executed (ETXTBSY, which Linux
6.11 did away with for a time) must not matter, so these tests ask what can be reached and not what can be written.
"""

import os
import shutil
import sys
from pathlib import Path

import pytest

from rootless.errors import CommandNotExecutableError
from rootless.runtime import trampoline

SAY = "-cimport os;print('RUNNING',os.readlink('/proc/self/exe'))"


@pytest.fixture
def hostile(own_box):
    """Commands that lead to /proc/self/exe in ways that differ in who can see it beforehand."""
    root = own_box.root
    (root / "f").mkdir()
    (root / "f/link").symlink_to("/proc/self/exe")
    (root / "f/a\x0cb").symlink_to("/proc/self/exe")
    (root / "f/far").symlink_to("link")
    (root / "f/plain").write_text(f"#!/proc/self/exe {SAY}\n")
    (root / "f/formfeed").write_text(f"#!/f/a\x0cb {SAY}\n")
    (root / "f/thread").write_text(f"#!/proc/thread-self/exe {SAY}\n")
    (root / "f/one").write_text(f"#!/proc/1/exe {SAY}\n")
    (root / "f/nested").write_text("#!/f/plain\n")
    for each in (root / "f").iterdir():
        if not each.is_symlink():
            each.chmod(0o755)
    return own_box


@pytest.mark.parametrize("name", ["link", "far", "plain", "formfeed", "thread", "one", "nested"])
@pytest.mark.parametrize("init", [False, True])
def test_command_that_leads_to_the_engines_program_is_refused(hostile, name, init):
    with pytest.raises(CommandNotExecutableError, match="permission denied"):
        hostile.run(f"/f/{name}", init=init)


@pytest.mark.needs("subuid")
@pytest.mark.parametrize("name", ["plain", "formfeed", "nested"])
@pytest.mark.parametrize("init", [False, True])
def test_script_that_its_user_cannot_read_does_not_run_the_engines_program(hostile, name, init):
    (hostile.root / "f" / name).chmod(0o711)
    result = hostile.run(f"/f/{name}", user="1000", cap_drop=("ALL",), init=init)
    assert (result.status, result.out) == (126, "")


def test_elf_whose_loader_is_the_engines_program_does_not_run_it(own_box):
    content = Path(shutil.which("true")).resolve().read_bytes()
    loader = next(
        name
        for name in (b"/lib64/ld-linux-x86-64.so.2", b"/lib/ld-linux-aarch64.so.1")
        if name + b"\0" in content
    )
    replaced = content.replace(loader, b"/proc/self/exe".ljust(len(loader), b"\0"), 1)
    (own_box.root / "elf").write_bytes(replaced)
    (own_box.root / "elf").chmod(0o755)
    result = own_box.run("/elf", SAY)
    assert result.status != 0
    assert result.out == ""


@pytest.mark.needs("subuid")
def test_without_a_trampoline_what_cannot_be_read_is_refused(hostile, monkeypatch):
    monkeypatch.setattr(trampoline, "CODE", {})
    assert hostile.sh("echo still").out == "still\n"
    (hostile.root / "f/plain").chmod(0o711)
    with pytest.raises(CommandNotExecutableError, match="permission denied"):
        hostile.run("/f/plain", user="1000", cap_drop=("ALL",))
    with pytest.raises(CommandNotExecutableError, match="permission denied"):
        hostile.run("/f/formfeed")


@pytest.mark.parametrize(
    "flags",
    [{}, {"init": True}, {"pid": "host"}, {"pid": "host", "init": True, "privileged": True}],
)
def test_no_program_of_the_host_is_reached_through_proc(box, flags):
    """The engine's interpreter, or any of the host's: a link that cannot be read cannot be opened."""
    result = box.sh(
        "for e in /proc/[0-9]*/exe; do readlink $e; done; (exec 3>>/proc/1/exe) && echo open",
        **flags,
    )
    assert set(result.out.splitlines()) == {"/bin/sh"}
    assert os.path.realpath(sys.executable) not in result.out


def test_command_keeps_arguments_environment_and_name(box):
    """The trampoline is not to be seen."""
    result = box.sh(
        "tr '\\0' '|' </proc/$$/cmdline; echo; cat /proc/$$/comm; readlink /proc/$$/exe; echo $0:$X; ls /proc/self/fd",
        env=("X=1 2",),
    )
    lines = result.out.splitlines()
    assert lines[0].startswith("sh|-c|tr ")
    assert lines[1:4] == ["sh", "/bin/sh", "sh:1 2"]
    assert lines[4:] == ["0", "1", "2", "3"]
