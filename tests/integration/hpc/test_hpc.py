"""`hpc run`, `exec` and `shell`: what a user of a cluster types and sees."""

import hashlib
import os
import pwd
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.sif import Part, write_sif
from tests.support.waiting import wait_until

pytestmark = pytest.mark.needs("userns", "fuse", "busybox")


def test_the_process_is_the_callers_child(cluster):
    process = cluster.popen("exec", "box:1", "sh", "-c", "echo $$; exit 7")
    shown, _ = process.communicate(timeout=120)
    assert (int(shown), process.returncode) == (process.pid, 7)


def test_signals_reach_the_command_itself(cluster):
    process = cluster.popen("exec", "box:1", "sh", "-c", "echo ready; sleep 1000")
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(120) == -signal.SIGTERM


def test_streams_and_descriptors_are_the_callers_own(cluster):
    reader, writer = os.pipe()
    out = cluster.cwd / "out"
    with out.open("wb") as file:
        subprocess.run(
            cluster.argv(
                "exec", "box:1", "sh", "-c", f"stat -L -c %i /proc/self/fd/1; echo x >&{writer}"
            ),
            env=cluster.env,
            cwd=cluster.cwd,
            stdout=file,
            pass_fds=[writer],
            check=True,
            timeout=120,
        )
    assert int(out.read_text()) == out.stat().st_ino
    assert os.read(reader, 10) == b"x\n"
    os.close(reader)
    os.close(writer)


def test_an_ignored_signal_and_the_umask_stay(cluster):
    def before():
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        os.umask(0o027)

    done = cluster(
        "exec", "box:1", "sh", "-c", "umask; grep SigIgn /proc/self/status", preexec_fn=before
    )
    mask, ignored = done.stdout.decode().splitlines()
    assert mask == "0027"
    assert int(ignored.split()[1], 16) & 1


def test_the_user_has_its_own_id_name_and_home(cluster):
    entry = pwd.getpwuid(os.getuid())
    script = "id -u; whoami; echo ~; pwd; test -w ~ && echo writable"
    assert cluster.text("exec", "box:1", "sh", "-c", script).splitlines() == [
        str(os.getuid()),
        entry.pw_name,
        str(cluster.home),
        str(cluster.cwd),
        "writable",
    ]


def test_the_user_is_named_where_the_image_names_the_number_otherwise(cluster):
    line = f"other:x:{os.getuid()}:{os.getgid()}::/:/bin/sh"
    script = f"echo {line} >> /etc/passwd"
    cluster.rootless("run", "--name", "changed", "box:1", "sh", "-c", script).ok()
    cluster.rootless("commit", "changed", "box:2").ok()
    name = pwd.getpwuid(os.getuid()).pw_name
    assert cluster.text("exec", "box:2", "whoami") == f"{name}\n"
    assert cluster.text("exec", "box:2", "tail", "-1", "/etc/passwd") == f"{line}\n"


def test_the_image_is_read_only_and_what_is_bound_is_not(cluster):
    (cluster.cwd / "data").write_text("data")
    script = "cat data; echo more >> data; echo x > /etc/x"
    done = cluster("exec", "box:1", "sh", "-c", script)
    assert done.stdout == b"data"
    assert b"/etc/x: Read-only file system" in done.stderr
    assert (cluster.cwd / "data").read_text() == "datamore\n"
    (cluster.cwd / "layer").mkdir()
    script = "cat /x 2>/dev/null; echo kept > /x"
    assert not cluster.text("exec", "--overlay", "layer", "box:1", "sh", "-c", script)
    assert cluster.text("exec", "--overlay", "layer:ro", "box:1", "cat", "/x") == "kept\n"
    assert (
        cluster.text("exec", "--writable-tmpfs", "box:1", "sh", "-c", "echo x > /x; cat /x")
        == "x\n"
    )


def test_binds_by_option_and_by_variable(cluster, tmp_path):
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    shown = cluster.text(
        "exec",
        "-B",
        f"{tmp_path}/one:/data/one:ro,{tmp_path}/two:/data/two",
        "box:1",
        "sh",
        "-c",
        "cat /data/*/file; touch /data/one/x 2>/dev/null || echo -ro; touch /data/two/x",
        env={"SINGULARITY_BINDPATH": f"{tmp_path}/three:/data/three"},
    )
    assert shown == "onethreetwo-ro\n"
    failed = cluster("exec", "-B", "/does/not/exist", "box:1", "true")
    assert failed.returncode == 125
    assert failed.stderr.decode().count("\n") == 1


def test_variables_are_the_callers_and_paths_the_images(cluster):
    env = {"OMP_NUM_THREADS": "4", "APPTAINERENV_SET": "1", "SINGULARITYENV_PREPEND_PATH": "/first"}
    shown = cluster.text(
        "exec",
        "--env",
        "A=1,2,B=3",
        "box:1",
        "sh",
        "-c",
        "echo $OMP_NUM_THREADS $SET $PATH $A $B",
        env=env,
    )
    path = "/first:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    assert shown == f"4 1 {path} 1,2 3\n"
    clean = cluster.text("exec", "-e", "box:1", "env", env=env).splitlines()
    assert "SET=1" in clean
    assert not any(line.startswith("OMP_NUM_THREADS") for line in clean)


def test_contain_hides_the_hosts_files(cluster):
    (cluster.home / "secret").write_text("x")
    script = f"ls -A {cluster.home} /tmp; ls /dev | grep -c fuse; pwd"
    shown = cluster.text("exec", "-c", "box:1", "sh", "-c", f"{script}; true").splitlines()
    assert "secret" not in shown
    assert shown[-2:] == ["0", str(cluster.home)]


def test_containall_has_processes_of_its_own(cluster):
    done = cluster("exec", "-C", "box:1", "sh", "-c", "echo $$; cat; exit 3", stdin=b"input")
    assert (done.returncode, done.stdout) == (3, b"2\ninput")
    assert cluster.text("exec", "-p", "--no-init", "box:1", "sh", "-c", "echo $$") == "1\n"


def test_a_signal_ends_a_command_with_processes_of_its_own(cluster):
    """As process 1 it would be protected from signals that it does not handle."""
    done = cluster("exec", "-p", "box:1", "sh", "-c", "kill -TERM $$; echo on")
    assert (done.returncode, done.stdout) == (128 + signal.SIGTERM, b"")


def test_a_directory_is_written_in_place(cluster, scripted_tree, tmp_path):
    """Its /etc/passwd keeps its lines, and what is written is the caller's."""
    root = tmp_path / "root"
    shutil.copytree(scripted_tree, root, symlinks=True)
    before = (root / "etc/passwd").read_bytes()
    script = "whoami; echo x > /written; rm /bin/wc; id -u"
    shown = cluster.text("exec", "--writable", root, "sh", "-c", script)
    entry = pwd.getpwuid(os.getuid())
    assert shown == f"{entry.pw_name}\n{entry.pw_uid}\n"
    assert (root / "written").read_text() == "x\n"
    assert (root / "written").stat().st_uid == os.getuid()
    assert not (root / "bin/wc").exists()
    assert (root / "etc/passwd").read_bytes() == before
    assert cluster.text("exec", "-w", "-f", root, "sh", "-c", "id -u; touch /by-root") == "0\n"
    assert (root / "by-root").stat().st_uid == os.getuid()


@pytest.mark.skipif(not os.path.exists("/etc/localtime"), reason="the host has no time zone")
def test_the_time_zone_is_the_hosts(cluster):
    digest = hashlib.sha256(Path("/etc/localtime").read_bytes()).hexdigest()
    assert cluster.text("exec", "box:1", "sha256sum", "/etc/localtime").startswith(digest)
    excluded = (
        "--no-mount",
        "bind-paths",
        "box:1",
        "sh",
        "-c",
        "test -e /etc/localtime || echo none",
    )
    assert cluster.text("exec", *excluded) == "none\n"


def test_home_elsewhere_and_no_home(cluster, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other/file").write_text("other")
    shown = cluster.text(
        "exec", "-H", f"{tmp_path}/other:/home/me", "box:1", "sh", "-c", "echo ~; cat ~/file"
    )
    assert shown == "/home/me\nother"
    script = f"test -e {cluster.home} || echo none; echo ~; pwd"
    shown = cluster.text("exec", "--no-home", "--no-mount", "tmp", "box:1", "sh", "-c", script)
    assert shown.splitlines() == ["none", str(cluster.home), str(cluster.cwd)]


def test_fakeroot_is_root_with_the_home_at_root(cluster):
    (cluster.home / "file").write_text("mine")
    shown = cluster.text("exec", "--fakeroot", "box:1", "sh", "-c", "id -u; echo ~; cat ~/file")
    assert shown == "0\n/root\nmine"


@pytest.mark.parametrize("kind", ["directory", "squashfs", "sif"])
@pytest.mark.needs("squashfs")
def test_scripts_of_an_image_are_honoured(cluster, scripted_tree, tmp_path, kind):
    image = scripted_tree
    if kind != "directory":
        image = tmp_path / "tool.sqfs"
        subprocess.run(["mksquashfs", scripted_tree, image, "-quiet", "-no-progress"], check=True)
    if kind == "sif":
        write_sif(tmp_path / "tool.sif", [Part(image.read_bytes())])
        image = tmp_path / "tool.sif"
    assert cluster.text("run", image, "a", "b") == "run: a b image\n"
    assert cluster.text("run", image, "a", env={"OF_IMAGE": "host"}) == "run: a image\n"
    given = {"APPTAINERENV_OF_IMAGE": "given"}
    assert cluster.text("run", image, "a", env=given) == "run: a given\n"
    assert cluster.text("run", "--app", "foo", image, "a") == "app: a app\n"
    script = "echo $PATH $FIXED $APPTAINER_CONTAINER $SINGULARITY_NAME"
    shown = cluster.text("exec", image, "sh", "-c", script)
    path = "/opt/tool:/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin"
    assert shown == f"{path} image {image} {image.name}\n"
    assert cluster.text("exec", "--env", "FIXED=mine", image, "sh", "-c", "echo $FIXED") == "mine\n"


def test_run_of_an_image_executes_its_command(cluster):
    change = ("--change", 'ENTRYPOINT ["echo", "entry"]', "--change", 'CMD ["cmd"]')
    cluster.rootless("run", "--name", "first", "box:1", "true").ok()
    cluster.rootless("commit", *change, "first", "box:3").ok()
    assert cluster.text("run", "box:3") == "entry cmd\n"
    assert cluster.text("run", "box:3", "mine") == "entry mine\n"
    assert cluster.text("exec", "box:3", "echo", "only") == "only\n"


def test_shell_reads_standard_input(cluster):
    done = cluster("shell", "box:1", stdin=b"echo $((6*7)); exit 5\n")
    assert (done.returncode, done.stdout) == (5, b"42\n")


def test_archives_are_loaded(cluster, tmp_path):
    cluster.rootless("save", "-o", tmp_path / "box.tar", "box:1").ok()
    assert cluster.text("exec", f"docker-archive:{tmp_path}/box.tar", "echo", "x") == "x\n"


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (("exec", "box:1", "nosuch"), 127, 'exec: "nosuch": executable file not found in $PATH'),
        (("exec", "box:1", "/etc/passwd"), 126, 'exec: "/etc/passwd": permission denied'),
        (("exec", "none.sif", "true"), 125, "does not exist"),
        (("exec", "-H", "/nosuch:/home/me", "box:1", "true"), 125, "/nosuch is not a directory"),
        (("exec", "library://alpine", "true"), 125, "this kind of image is not supported"),
        (("exec", "-w", "box:1", "true"), 125, "an image of the store cannot be written to"),
        (("exec", "--cwd", "/nosuch", "box:1", "true"), 125, "directory /nosuch: no such file"),
        (("exec", "-W", "/nosuch", "-c", "box:1", "true"), 125, "/nosuch is not a directory"),
        (("run", "--app", "no", "box:1"), 125, "the image has no run script for the app 'no'"),
        (("exec", "--no-mount", "proc", "box:1", "true"), 125, "--no-mount proc: not supported"),
    ],
)
def test_errors_are_one_line_with_the_status_of_run(cluster, words, status, message):
    failed = cluster(*words)
    assert failed.returncode == status
    assert message in failed.stderr.decode().splitlines()[0]
    assert "Traceback" not in failed.stderr.decode()


def test_nothing_is_left_of_it(cluster):
    containers = cluster.rootless.data / "rootless/containers"
    cluster.text("exec", "box:1", "true")
    cluster("exec", "box:1", "nosuch")
    process = cluster.popen("exec", "box:1", "sh", "-c", "echo ready; exec sleep 1000")
    assert process.stdout.readline() == b"ready\n"
    process.kill()
    process.wait(120)
    wait_until(lambda: {each.name for each in containers.iterdir()} == {".lock", "names"})


def test_other_commands_know_it_while_it_runs(cluster):
    process = cluster.popen("exec", "box:1", "sh", "-c", "echo ready; sleep 1000")
    assert process.stdout.readline() == b"ready\n"
    (name,) = cluster.rootless("ps", "-q").ok().stdout.split()
    shown = cluster.rootless("exec", name, "id", "-u").ok().stdout
    assert shown == f"{os.getuid()}\n"
    cluster.rootless("kill", name).ok()
    assert process.wait(120) == -signal.SIGKILL


def test_a_process_that_stays_behind_keeps_its_files(cluster):
    """Without a PID namespace it goes on after the command, as on the host."""
    reader, writer = os.pipe()
    script = f"(read x <go; cat /etc/group >&{writer}) >/dev/null 2>&1 </dev/null &"
    os.mkfifo(cluster.cwd / "go")
    cluster("exec", "box:1", "sh", "-c", script, pass_fds=[writer])
    os.close(writer)
    with (cluster.cwd / "go").open("w") as file:
        file.write("\n")
    with open(reader, "rb") as file:
        assert file.read().splitlines()[-1] == b"worker:x:1000:"
