"""`image slim`: an image of what commands use, tried before it gets its name."""

import json
import os
import signal
import subprocess
import tarfile

import pytest

from rootless import Engine
from rootless.engine.slim_image import SlimRequest
from rootless.errors import UsageError
from tests.support import probes
from tests.support.waiting import wait_until

pytestmark = pytest.mark.needs("userns", "fuse")


@pytest.fixture
def box(rootless, busybox_image):
    """With the image box:1, which has an entry point, variables, a label and a volume."""
    changes = (
        'ENTRYPOINT ["/bin/busybox"]',
        'CMD ["echo", "by itself"]',
        "ENV COLOUR=blue",
        "LABEL kind=test",
        "WORKDIR /srv/work",
    )
    words = [word for each in changes for word in ("--change", each)]
    rootless("import", *words, busybox_image, "box:1").ok()
    return rootless


def files_of(rootless, image, tmp_path):
    """The names in the layers of an image."""
    archive = tmp_path / "saved.tar"
    rootless("save", "--format", "oci-archive", "-o", archive, image).ok()
    names = set()
    with tarfile.open(archive) as outer:
        index = json.load(outer.extractfile("index.json"))
        manifest = blob(outer, index["manifests"][0]["digest"])
        for layer in manifest["layers"]:
            stream = outer.extractfile(path_of(layer["digest"]))
            with tarfile.open(fileobj=stream) as inner:
                names |= set(inner.getnames())
    return names


def path_of(digest):
    return f"blobs/{digest.replace(':', '/')}"


def blob(archive, digest):
    return json.load(archive.extractfile(path_of(digest)))


def config_of(rootless, image):
    return json.loads(rootless("image", "inspect", image).ok().stdout)[0]


def assert_nothing_is_left(rootless):
    assert rootless("images", "-q").ok().stdout.count("\n") == 1
    assert rootless("ps", "-aq").ok().stdout == ""


def test_slim_image_runs_and_keeps_the_configuration(box, tmp_path):
    done = box("image", "slim", "box:1", "--", "cat", "/etc/passwd").ok()
    assert "box.slim:1: " in done.stderr
    assert config_of(box, "box.slim:1")["Id"] == done.stdout.strip()
    before, after = (config_of(box, name)["Config"] for name in ("box:1", "box.slim:1"))
    assert after == before
    assert box("run", "--rm", "box.slim:1", "cat", "/etc/passwd").ok().stdout.startswith("root:")
    assert box("run", "--rm", "box.slim:1").ok().stdout == "by itself\n"
    assert box("run", "--rm", "--entrypoint", "ls", "box.slim:1").status == 127
    names = files_of(box, "box.slim:1", tmp_path)
    assert {"bin/busybox", "etc/passwd", "tmp"} <= names
    assert "bin/ls" not in names
    assert box("ps", "-aq").ok().stdout == ""


def test_command_of_the_image_and_a_name_of_ones_own(box):
    box("image", "slim", "-t", "small", "box:1").ok()
    assert box("run", "--rm", "small:latest").ok().stdout == "by itself\n"


def test_program_with_libraries_behind_symbolic_links(rootless, debian_image):
    rootless("import", debian_image, "debian:1").ok()
    script = "use POSIX; use Data::Dumper; print Dumper(POSIX::floor(2.5));"
    rootless(
        "image", "slim", "--compare-output", "debian:1", "--", "perl", "-e", script, timeout=120
    ).ok()
    assert "2" in rootless("run", "--rm", "debian.slim:1", "perl", "-e", script).ok().stdout
    before, after = (config_of(rootless, name)["Size"] for name in ("debian:1", "debian.slim:1"))
    assert after < before / 8


def test_further_commands_and_their_environment(box, tmp_path):
    box(
        "image", "slim", "--also", "sh -c 'cat \"/etc/$WHICH\"'", "-e", "WHICH=group",
        "box:1", "--", "cat", "/etc/passwd",
    ).ok()  # fmt: skip
    assert box("run", "--rm", "box.slim:1", "sh", "-c", "cat /etc/group").status == 0


def test_included_directories_come_whole_and_excluded_ones_do_not(box, rootless, tmp_path):
    (tmp_path / "build").mkdir()
    (tmp_path / "build/Dockerfile").write_text(
        'FROM box:1\nRUN ["sh", "-c", "mkdir -p /opt/real/in /opt/other /data/in && '
        'echo x > /opt/real/in/f && ln -s real /opt/link && echo y > /opt/other/g"]\n'
        'VOLUME /data /none\nRUN ["sh", "-c", "echo z > /opt/other/h"]\n'
    )
    rootless("build", "-t", "tree:1", tmp_path / "build", timeout=120).ok()
    listed = tmp_path / "list"
    listed.write_text("# a comment\n\n/opt/link/in\n")
    words = ("image", "slim", "--include-list", listed, "--include", "/opt/other")
    box(*words, "--exclude", "/opt/other/h", "tree:1", "--", "true").ok()
    names = files_of(box, "tree.slim:1", tmp_path)
    assert {"opt/link", "opt/real/in/f", "opt/other/g", "data/in", "srv/work"} <= names
    assert "opt/other/h" not in names


def test_command_that_fails_in_the_slim_image_leaves_nothing(box):
    refused = box("image", "slim", "--exclude", "/etc/group", "box:1", "--", "cat", "/etc/group")
    assert refused.status == 1
    assert "ends with status 1 in the slim image, and ends with status 0 before" in refused.stderr
    assert "No such file" in refused.stderr
    lost = box("image", "slim", "--exclude", "/bin/busybox", "box:1", "--", "true")
    assert (lost.status, "in the slim image" in lost.stderr) == (1, True)
    assert_nothing_is_left(box)


def test_output_is_compared_if_that_is_asked_for(box):
    words = ("box:1", "--", "cat", "/proc/sys/kernel/random/uuid")
    assert "standard output" in box("image", "slim", "--compare-output", *words).stderr
    assert_nothing_is_left(box)
    box("image", "slim", *words).ok()


def test_status_other_than_0_is_told(box):
    done = box("image", "slim", "box:1", "--", "sh", "-c", "exit 3").ok()
    assert "command 1 ends with status 3" in done.stderr


def test_server_is_stopped(box, tmp_path):
    serve = 'trap "exit 5" TERM; cat /etc/group; while :; do sleep 0.1; done'
    words = ("image", "slim", "--stop-after", "2", "box:1", "--", "sh", "-c")
    assert "ends with status" not in box(*words, serve).ok().stderr
    assert "etc/group" in files_of(box, "box.slim:1", tmp_path)
    box("rmi", "box.slim:1").ok()
    needs_group = "test -e /etc/group || exit 4; exec sleep 1000"
    refused = box("image", "slim", "--exclude", "/etc/group", *words[2:], needs_group)
    assert "status 4 in the slim image, and has to be stopped before" in refused.stderr
    assert_nothing_is_left(box)


@pytest.mark.slow
def test_python_and_node(rootless, toolchain_image):
    rootless("import", toolchain_image, "tools:1", timeout=300).ok()
    python = "import decimal, json, hashlib; print(json.dumps(hashlib.sha256(b'x').hexdigest()))"
    node = (
        "console.log(require('zlib').gzipSync('x').length, require('crypto').randomBytes(4).length)"
    )
    rootless(
        "image", "slim", "--compare-output", "--also", f'node -e "{node}"', "-t", "small",
        "tools:1", "--", "python3", "-c", python, timeout=300,
    ).ok()  # fmt: skip
    found = [
        rootless("run", "--rm", "small", *words).ok().stdout
        for words in (("python3", "-c", python), ("node", "-e", node))
    ]
    assert (len(found[0]), found[1]) == (67, "21 4\n")
    before, after = (config_of(rootless, name)["Size"] for name in ("tools:1", "small"))
    assert after < before / 4


@pytest.mark.parametrize("number", [1, 2])
def test_killed_slim_leaves_neither_image_nor_container(box, number):
    script = "sleep 1000"
    if number == 2:
        script = "test ! -e /bin/ls || exit 0; sleep 1000"  # the slim image has no /bin/ls
    words = ("image", "slim", "--exclude", "/bin/ls", "box:1", "--", "sh", "-c", script)
    process = box.popen(*words)
    containers = list_of_containers(box)
    wait_until(lambda: any(is_running(each) for each in containers()), alive=process)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(120)
    wait_until(lambda: not containers())
    assert_nothing_is_left(box)
    box("image", "slim", "box:1", "--", "true").ok()
    scratch = [each for each in (box.data / "rootless/tmp").iterdir() if each.name != ".lock"]
    assert scratch == []


def list_of_containers(rootless):
    store = rootless.data / "rootless"

    def containers():
        places = [*store.glob("containers/*"), *store.glob("tmp/*/store/containers/*")]
        return [each / "container.json" for each in places if (each / "container.json").exists()]

    return containers


def is_running(record):
    try:
        return json.loads(record.read_text())["status"] == "running"
    except (FileNotFoundError, json.JSONDecodeError):
        return False


def test_refusals(box):
    assert box("image", "slim", "none:1").status == 1
    assert "not an absolute path" in box("image", "slim", "--include", "etc", "box:1").stderr
    assert "has no /none to include" in box("image", "slim", "--include", "/none", "box:1").stderr
    assert "--also" in box("image", "slim", "--also", "'", "box:1").stderr
    identity = config_of(box, "box:1")["Id"]
    box("tag", "box:1", "other:2").ok()
    box("untag", "box:1", "box:1", "other:2").ok()
    assert "needs --tag" in box("image", "slim", identity).stderr
    assert_nothing_is_left(box)


def test_slim_in_python(box, monkeypatch):
    for name, value in box.env.items():
        monkeypatch.setenv(name, value)
    made = Engine().slim(SlimRequest("box:1", (("echo", "text"),), compares_output=True))
    assert (made.tag, made.trials[0].stdout) == ("box.slim:1", b"text\n")
    assert made.size <= made.size_before
    with pytest.raises(UsageError):
        Engine().slim(SlimRequest("box:1", included=("/none",)))


@pytest.mark.skipif(probes.lacking("skopeo") is not None, reason="no skopeo")
def test_another_tool_reads_it(box, tmp_path):
    box("image", "slim", "box:1", "--", "true").ok()
    box("save", "--format", "oci-archive", "-o", tmp_path / "a.tar", "box.slim:1").ok()
    found = subprocess.run(
        ["skopeo", "inspect", "--config", f"oci-archive:{tmp_path}/a.tar"],
        check=True,
        capture_output=True,
        timeout=120,
    )
    assert json.loads(found.stdout)["config"]["Labels"] == {"kind": "test"}
