"""In the guest, as an ordinary user: the core of the engine and of the union, on a kernel that may be old."""

import os
import subprocess
import sys
import tarfile
import urllib.request
from pathlib import Path

from harness import check, main, wait_until

KERNEL = tuple(map(int, os.uname().release.split("-")[0].split(".")[:2]))
WORK = Path.home() / "core"
NFS = Path("/project/nfs")
HAS_RANGE = "alice" in Path("/etc/subuid").read_text()
UNION_OPERATIONS = """
set -e
cd merged
test "$(cat lower/file)" = first
echo more >>lower/file
chmod 600 lower/file
mv lower/directory lower/moved
test "$(cat lower/moved/inner)" = inner
rm lower/gone
ln lower/file linked
test "$(stat -c %h linked)" = 2
mkdir new
mv new/../linked new/linked
mkfifo pipe
setfattr -n user.key -v value new/linked 2>/dev/null || python3 -c 'import os; os.setxattr("new/linked", "user.key", b"value")'
python3 -c '
import mmap, os
with open("mapped", "w+b") as file:
    file.truncate(8192)
    with mmap.mmap(file.fileno(), 8192) as memory:
        memory[4096:4101] = b"hello"
os.rename("mapped", "renamed")
for name in ("removed", "replaced"):
    file = open("new/" + name, "w+")
    file.write(name)
    file.flush()
    if name == "removed":
        os.unlink("new/removed")
    else:
        open("new/other", "w").close()
        os.rename("new/other", "new/replaced")
    assert sorted(os.listdir("../upper/new")) == sorted(os.listdir("new"))
    file.seek(0)
    assert file.read() == name
os.unlink("new/replaced")
'
"""


def call(module, *arguments, status=0):
    command = [sys.executable, "-m", module, *arguments]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == status, (arguments, result)
    return result


def engine(*arguments, status=0):
    return call("rootless", *arguments, status=status).stdout


def shell(script, *options, image="small", status=0):
    return engine("run", "--rm", *options, image, "sh", "-ec", script, status=status)


@check
def home_is_on_the_disk_that_was_asked_for():
    found = subprocess.check_output(["stat", "-f", "-c", "%T", str(Path.home())], text=True).strip()
    assert (found == "nfs") == NFS.exists(), found
    return f"{found} {NFS.read_text().strip() if NFS.exists() else ''}"


@check
def doctor_says_that_containers_can_run():
    return engine("doctor").splitlines()[-1]


@check
def image_is_imported():
    WORK.mkdir(exist_ok=True)
    with tarfile.open(WORK / "root.tar", "w") as archive:
        for name in ("bin", "etc", "tmp"):
            member = tarfile.TarInfo(name)
            member.type, member.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(member)
        archive.add("/bin/busybox", "bin/busybox")
        applets = subprocess.check_output(["/bin/busybox", "--list"], text=True).split()
        for name in applets:
            member = tarfile.TarInfo(f"bin/{name}")
            member.type, member.linkname = tarfile.SYMTYPE, "busybox"
            if name != "busybox":
                archive.addfile(member)
    engine("import", str(WORK / "root.tar"), "small")


@check
def run_has_owners_and_protected_mounts():
    (WORK / "shared").mkdir()
    (WORK / "shared/file").write_text("kept\n")
    script = """
        cat /in/file
        if touch /in/file 2>/dev/null || echo x >/proc/sys/kernel/printk 2>/dev/null; then exit 9; fi
        touch /etc/owned && chown 12:34 /etc/owned && stat -c %u:%g /etc/owned
        mv /bin /usr-bin && /usr-bin/mv /usr-bin /bin
        ls /proc/self/fd | wc -l
        exit 7"""
    out = shell(script, "-v", f"{WORK}/shared:/in:ro", status=7)
    # With one id the owner is kept, and seen by a later container that has more.
    assert out.split() == ["kept", "12:34" if HAS_RANGE else "0:0", "4"], out
    shell(
        "touch /tmp/x; if touch /x 2>/dev/null; then exit 1; fi", "--read-only", "--tmpfs", "/tmp"
    )


@check
def container_is_started_entered_paused_and_stopped():
    engine("run", "-d", "--name", "here", "--init", "small", "sh", "-c", "echo up; exec sleep 1000")
    assert engine("exec", "-e", "A=b", "here", "sh", "-c", "echo $A; id -u").split() == ["b", "0"]
    engine("pause", "here")
    assert engine("ps", "--format", "{{.State}}") == "paused\n"
    engine("unpause", "here")
    engine("stop", "-t", "3", "here")
    assert engine("logs", "here") == "up\n"
    engine("rm", "-v", "here")


@check
def volume_is_shared_and_kept():
    engine("run", "-d", "--name", "one", "-v", "shared:/v", "small", "sleep", "1000")
    shell("echo from two >/v/file", "-v", "shared:/v")
    assert engine("exec", "one", "cat", "/v/file") == "from two\n"
    engine("rm", "-f", "one")
    assert shell("cat /v/file", "-v", "shared:/v:ro") == "from two\n"
    engine("volume", "rm", "shared")


@check
def image_is_built_committed_saved_and_loaded():
    (WORK / "context").mkdir()
    (WORK / "context/file").write_text("copied\n")
    (WORK / "context/Dockerfile").write_text(
        "FROM small\nCOPY file /file\nRUN echo built >/built && rm /bin/vi\nCMD cat /file /built\n"
    )
    engine("build", "-q", "-t", "built", str(WORK / "context"))
    assert engine("run", "--rm", "built") == "copied\nbuilt\n"
    engine("run", "--name", "changed", "built", "sh", "-c", "echo changed >/built; rm /bin/ed")
    engine("commit", "changed", "committed")
    engine("rm", "changed")
    engine("save", "-o", str(WORK / "image.tar"), "committed")
    engine("rmi", "committed")
    engine("load", "-q", "-i", str(WORK / "image.tar"))
    assert shell("cat /built; ! test -e /bin/ed", image="committed") == "changed\n"


@check
def containers_of_a_network_find_each_other():
    engine("network", "create", "inner")
    serve = "echo served >/index.html; exec httpd -f -p 80 -h /"
    engine("run", "-d", "--name", "web", "--network", "inner", "small", "sh", "-c", serve)
    script = "for i in $(seq 60); do wget -q -O - http://web/ && exit; sleep 1; done; exit 1"
    assert shell(script, "--network", "inner") == "served\n"
    engine("rm", "-f", "web")
    engine("network", "rm", "inner")


@check
def port_is_published():
    serve = "echo served >/index.html; exec httpd -f -p 80 -h /"
    engine("run", "-d", "--name", "web", "-p", "127.0.0.1:8080:80", "small", "sh", "-c", serve)
    out = wait_until(lambda: page("http://127.0.0.1:8080/"))
    engine("rm", "-f", "web")
    assert out == b"served\n", out


def page(address):
    """What a server answers; nothing if it does not."""
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return answer.read()
    except OSError:
        return b""


@check
def overlay_of_the_kernel_works_or_is_refused_in_one_line():
    engine("image", "unpack", "small")
    command = [
        "run",
        "--rm",
        "--storage-driver",
        "overlay",
        "small",
        "sh",
        "-c",
        "rm /bin/vi; ls /bin/ed",
    ]
    if KERNEL >= (5, 11) and not NFS.exists():
        assert engine(*command) == "/bin/ed\n"
        return None
    refusal = call("rootless", *command, status=125).stderr
    assert "5.11" in refusal, refusal
    return refusal.strip()


@check
def ranks_share_a_container():
    out = engine(
        "run", "--rm", "--join", "--join-tag", "t", "--join-count", "1", "small", "id", "-u"
    )
    assert out.strip().isdigit(), out
    return engine("hpc", "run", "small", "id", "-un").strip()


@check
def command_is_tried_and_applied():
    (WORK / "tried").mkdir()
    (WORK / "tried/file").write_text("old\n")
    engine("try", "--name", "tried", "sh", "-c", f"echo new >{WORK}/tried/file")
    assert (WORK / "tried/file").read_text() == "old\n"
    engine("apply", "tried")
    assert (WORK / "tried/file").read_text() == "new\n"


@check
def union_of_directories():
    root = WORK / "union"
    for name in ("lower/lower/directory", "upper", "work", "merged"):
        (root / name).mkdir(parents=True)
    (root / "lower/lower/file").write_text("first\n")
    (root / "lower/lower/gone").write_text("gone\n")
    (root / "lower/lower/directory/inner").write_text("inner\n")
    os.chdir(root)
    options = "lowerdir=lower,upperdir=upper,workdir=work"
    call("unionfs", "-o", options, "merged")
    try:
        result = subprocess.run(
            ["sh", "-ec", UNION_OPERATIONS],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert result.returncode == 0, result
    finally:
        subprocess.run(["fusermount3", "-u", "merged"], check=True)
    call("unionfs", "-o", options, "merged")
    try:
        listed = sorted(str(p.relative_to("merged")) for p in Path("merged").rglob("*"))
        wanted = [
            "lower",
            "lower/file",
            "lower/moved",
            "lower/moved/inner",
            "new",
            "new/linked",
            "pipe",
            "renamed",
        ]
        assert listed == wanted, listed
        assert Path("merged/new/linked").read_text() == "first\nmore\n"
        assert os.getxattr("merged/new/linked", "user.key") == b"value"
        assert Path("merged/renamed").read_bytes()[4096:4101] == b"hello"
        assert Path("lower/lower/file").read_text() == "first\n"
    finally:
        os.chdir("/")
        subprocess.run(["fusermount3", "-u", str(root / "merged")], check=True)


main()
