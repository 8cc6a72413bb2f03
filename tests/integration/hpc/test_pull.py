"""`hpc pull`: an image as one file, read in place by this program and by others."""

import os
import shutil
import subprocess

import pytest

from rootless.images.formats.squashfs import find_squashfs

pytestmark = [
    pytest.mark.needs("userns", "fuse", "busybox", "squashfs"),
]


@pytest.fixture
def tool(cluster):
    """An image of two layers, in which the second removes, adds and links."""
    script = (
        "rm /usr/bin/env; mkdir -p /opt/tool; echo '#!/bin/sh' > /opt/tool/run; "
        "echo 'echo \"tool: $* $OF_IMAGE\"' >> /opt/tool/run; chmod 755 /opt/tool/run; "
        "ln /opt/tool/run /opt/tool/same; ln -s run /opt/tool/link; chmod 1777 /opt"
    )
    cluster.rootless("run", "--name", "made", "box:1", "sh", "-c", script).ok()
    changes = (
        "--change",
        'ENTRYPOINT ["/opt/tool/run"]',
        "--change",
        'CMD ["default arg"]',
        "--change",
        'ENV OF_IMAGE="it\'s"',
        "--change",
        "LABEL who=me",
    )
    cluster.rootless("commit", *changes, "made", "tool:1").ok()
    return cluster


@pytest.mark.parametrize("name", ["tool.sqfs", "tool.sif"])
def test_the_file_is_the_image(tool, name):
    assert tool.text("pull", "-q", "tool:1", name) == f"{name}\n"
    assert tool.text("run", name) == "tool: default arg it's\n"
    assert tool.text("run", name, "mine", env={"OF_IMAGE": "caller's"}) == "tool: mine it's\n"
    given = {"APPTAINERENV_OF_IMAGE": "given"}
    assert tool.text("run", name, "mine", env=given) == "tool: mine given\n"
    script = (
        "test -e /usr/bin/env || echo gone; readlink /opt/tool/link; "
        "stat -c '%h %a' /opt/tool/same; stat -c %a /opt"
    )
    shown = tool.text("exec", name, "sh", "-c", script).splitlines()
    assert shown == ["gone", "run", "2 755", "1777"]
    assert [each.name for each in tool.cwd.iterdir()] == [name]


@pytest.mark.skipif(shutil.which("unsquashfs") is None, reason="unsquashfs is not installed")
def test_other_readers_find_owners_labels_and_places_to_mount_on(tool):
    tool.text("pull", "-q", "tool:1", "tool.sif")
    found = find_squashfs(str(tool.cwd / "tool.sif"))
    assert found is not None
    assert found.architecture in {"amd64", "arm64"}
    offset = ("-o", str(found.offset))

    def unsquashfs(*words):
        argv = ["unsquashfs", *offset, *words]
        return subprocess.run(
            argv, cwd=tool.cwd, capture_output=True, text=True, check=True, timeout=120
        ).stdout

    listed = unsquashfs("-lln", "tool.sif", "home/worker", "mnt/3", "etc/resolv.conf")
    lines = {
        line.split()[-1]: line.split() for line in listed.splitlines() if "squashfs-root" in line
    }
    assert lines["squashfs-root/home/worker"][1] == "1000/1000"
    assert "squashfs-root/mnt/3" in lines
    assert "squashfs-root/etc/resolv.conf" in lines
    assert "OF_IMAGE=it's" in unsquashfs("-cat", "tool.sif", "ch/environment")
    assert '"who": "me"' in unsquashfs("-cat", "tool.sif", ".singularity.d/labels.json")


def test_apptainers_order_and_name(tool):
    assert tool.text("pull", "-q", "first.sif", "docker://tool:1") == "first.sif\n"
    assert tool.text("pull", "-q", "docker://tool:1") == "tool_1.sif\n"
    assert os.access(tool.cwd / "tool_1.sif", os.X_OK)


def test_a_file_is_replaced_only_by_force(tool):
    (tool.cwd / "tool.sqfs").write_text("precious")
    failed = tool("pull", "-q", "tool:1", "tool.sqfs")
    assert failed.returncode == 1
    assert b"tool.sqfs exists" in failed.stderr
    assert (tool.cwd / "tool.sqfs").read_text() == "precious"
    tool.text("pull", "-q", "--force", "--compression", "zstd", "tool:1", "tool.sqfs")
    assert tool.text("exec", "tool.sqfs", "echo", "x") == "x\n"


@pytest.mark.parametrize(
    ("words", "env", "message"),
    [
        (("tool:1", "tool.sqfs"), {"PATH": "/nonexistent"}, "mksquashfs is not installed"),
        (("tool:1", "tool.tar"), {}, "neither tool:1 nor tool.tar is FILE.sif or FILE.sqfs"),
        (("tool:1", "no/dir/tool.sif"), {}, "the directory does not exist"),
        (("library://tool", "tool.sif"), {}, "this kind of image is not supported"),
    ],
)
def test_errors_are_one_line_and_leave_nothing(tool, words, env, message):
    failed = tool("pull", "-q", *words, env=env)
    assert failed.returncode == 1
    assert message in failed.stderr.decode().splitlines()[0]
    assert list(tool.cwd.iterdir()) == []


def test_the_error_of_mksquashfs_is_shown(tool, tmp_path):
    program = tmp_path / "mksquashfs"
    program.write_text("#!/bin/sh\necho 'FATAL ERROR: no space' >&2\nexit 1\n")
    program.chmod(0o755)
    failed = tool(
        "pull", "-q", "tool:1", "tool.sif", env={"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    )
    assert failed.returncode == 1
    assert failed.stderr == b"rootless: mksquashfs failed: FATAL ERROR: no space\n"
    assert list(tool.cwd.iterdir()) == []


def test_build_makes_a_file_of_an_image_and_names_what_takes_the_place_of_definitions(cluster):
    assert cluster.text("build", "-q", "made.sif", "box:1") == "made.sif\n"
    assert cluster.text("exec", "made.sif", "echo", "in it") == "in it\n"
    (cluster.cwd / "image.def").write_text("Bootstrap: docker\n")
    for words, reason in (
        (("other.sif", "image.def"), "image.def: definition files are not read"),
        (("--compression", "foo", "other.sif", "box:1"), "use gzip, zstd, lz4, xz"),
        (("--sandbox", "directory", "box:1"), "--sandbox is not supported"),
    ):
        done = cluster("build", *words)
        assert (done.returncode == 0, done.stdout) == (False, b"")
        assert reason in done.stderr.decode()


@pytest.fixture
def tree(cluster, busybox_image):
    """A directory with a root file system and the scripts of Apptainer, of which one may be executed only by its owner."""
    path = cluster.cwd / "tree"
    (path / ".singularity.d").mkdir(parents=True)
    subprocess.run(["tar", "-xf", busybox_image, "-C", path], check=True)
    script = path / ".singularity.d/runscript"
    script.write_text('#!/bin/sh\necho "script: $*"\n')
    script.chmod(0o755)
    return path


@pytest.mark.parametrize("name", ["x.sif", "x.sqfs"])
def test_build_makes_a_file_of_a_directory(cluster, tree, name):
    assert cluster.text("build", "-q", name, "tree") == f"{name}\n"
    assert cluster.text("run", name, "word") == "script: word\n"
    assert (cluster.cwd / name).is_file()
    owner = cluster.text("exec", "--fakeroot", name, "stat", "-c", "%u:%g %a", "/bin/busybox")
    assert owner == "0:0 755\n"


def test_build_makes_a_file_of_an_image_file(cluster, tree):
    cluster.text("build", "-q", "x.sqfs", tree)
    cluster.text("build", "-q", "x.sif", "x.sqfs")
    cluster.text("build", "-q", "--compression", "zstd", "y.sif", "./x.sif")
    assert cluster.text("run", "y.sif", "word") == "script: word\n"


def test_build_names_what_it_cannot_make_a_file_of(cluster, tree, tmp_path):
    (cluster.cwd / "empty").mkdir()
    (cluster.cwd / "archive.tar").write_bytes(bytes(10240))
    cluster.text("overlay", "create", "--sparse", "x.img")
    secret = tree / "secret"
    secret.write_text("")
    secret.chmod(0)
    for source, reason in (
        ("empty", "empty is not a root file system"),
        ("./no-such", "no-such does not exist"),
        ("no-such.sif", "no-such.sif does not exist"),
        ("archive.tar", "archive.tar is not a directory"),
        ("x.img", "x.img is an ext3 image, which is a layer and no root file system"),
        ("x.def", "x.def: definition files are not read"),
        ("tree", "cannot read secret: permission denied"),
    ):
        done = cluster("build", "-q", "new.sif", source)
        assert (done.returncode, done.stdout) == (1, b"")
        assert reason in done.stderr.decode()
        assert b"rootless: " in done.stderr
    assert not list(cluster.cwd.glob("*new.sif*"))
    done = cluster("pull", "new.sif", "./tree")
    assert done.returncode == 1
    assert b"hint: rootless hpc build new.sif ./tree" in done.stderr
