"""Where the files of a build come from: directories, archives, and what is left out of them."""

from __future__ import annotations

import http.server
import io
import os
import subprocess
import tarfile
import threading

import pytest

pytestmark = pytest.mark.needs("userns", "fuse", "busybox")


def test_dockerignore_leaves_out_and_takes_in_again(builds):
    builds.ok(
        "FROM base:1\nCOPY . /all/\n",
        files={
            ".dockerignore": "*.log\nnode_modules\n!node_modules/keep/this\nDockerfile\n.dockerignore\nonly/ignored\n",
            "a.log": "",
            "sub/b.log": "",
            "node_modules/x": "",
            "node_modules/keep/this": "",
            "node_modules/keep/that": "",
            "only/ignored": "",
        },
    )
    assert builds.sh("cd /all && find . -type f | sort").split() == [
        "./node_modules/keep/this",
        "./sub/b.log",
    ]
    done = builds("FROM base:1\nCOPY a.log /\n")
    assert done.status == 1
    assert '"/a.log": not found' in done.stderr


def test_the_ignore_file_of_a_dockerfile_comes_before_that_of_the_context(builds):
    context = builds.context(
        "", {".dockerignore": "a", "other": "FROM base:1\nCOPY . /all/\n", "other.dockerignore": "b", "a": "", "b": ""}
    )  # fmt: skip
    done = builds.rootless("build", "-t", "t", "-f", str(context / "other"), str(context))
    assert done.status == 0, done.stderr
    names = builds.sh("ls /all").split()
    assert "a" in names
    assert "b" not in names


def test_containerfile_is_built_where_there_is_no_dockerfile(builds):
    context = builds.context("", {"Containerfile": "FROM base:1\nRUN echo podman >/which\n"})
    (context / "Dockerfile").unlink()
    build = ("build", "-t", "t", str(context))
    assert builds.rootless(*build).status == 0
    assert builds.sh("cat /which") == "podman\n"
    (context / "Dockerfile").write_text("FROM base:1\nRUN echo docker >/which\n")
    assert builds.rootless(*build).status == 0
    assert builds.sh("cat /which") == "docker\n"


def test_links_do_not_lead_out_of_the_context(builds, tmp_path):
    (tmp_path / "secret").write_text("secret")
    context = builds.context("FROM base:1\nCOPY out /got\n")
    (context / "out").symlink_to("../secret")
    assert builds.rootless("build", str(context)).status == 1
    (context / "out").unlink()
    (context / "out").symlink_to(tmp_path)
    assert builds.rootless("build", str(context)).status == 1
    (context / "Dockerfile").write_text("FROM base:1\nCOPY out/secret /got\n")
    assert builds.rootless("build", str(context)).status == 1
    # Below a source a link is copied as one.
    (context / "d").mkdir()
    (context / "d/l").symlink_to(tmp_path / "secret")
    (context / "Dockerfile").write_text("FROM base:1\nCOPY d /d\n")
    assert builds.rootless("build", "-t", "t", str(context)).status == 0
    assert builds.sh("readlink /d/l").strip() == str(tmp_path / "secret")


def test_links_in_the_image_do_not_lead_out_of_it(builds):
    builds.ok(
        "FROM base:1\nRUN ln -s ../../../../etc /e && ln -s /tmp/x /f\nCOPY Dockerfile /e/d\nCOPY Dockerfile /f\n"
    )
    assert builds.sh("ls /etc/d /tmp/x").split() == ["/etc/d", "/tmp/x"]


def test_a_tar_on_standard_input_is_a_context(builds):
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for name, text in (
            ("Dockerfile", "FROM base:1\nCOPY . /all/\n"),
            ("x/y", "content"),
            ("ignored", ""),
            (".dockerignore", "ignored"),
        ):
            info = tarfile.TarInfo(name)
            info.size = len(text)
            info.uid = 77
            tar.addfile(info, io.BytesIO(text.encode()))
    done = builds.rootless("build", "-t", "t", "-", stdin=archive.getvalue())
    assert done.status == 0, done.stderr
    script = "cd /all && find . -type f | sort && stat -c %u x/y"
    assert builds.sh(script).split() == ["./.dockerignore", "./Dockerfile", "./x/y", "77"]


def test_a_dockerfile_alone_on_standard_input(builds):
    done = builds.rootless("build", "-t", "t", "-", stdin=b"FROM base:1\nRUN echo x > /x\n")
    assert done.status == 0, done.stderr
    assert builds.sh("cat /x") == "x\n"
    done = builds.rootless("build", "-", stdin=b"FROM base:1\nCOPY x /x\n")
    assert done.status == 1


def test_a_dockerfile_on_standard_input_with_a_directory(builds):
    context = builds.context("nonsense", {"f": "text"})
    done = builds.rootless(
        "build", "-t", "t", "-f", "-", str(context), stdin=b"FROM base:1\nCOPY f /f\n"
    )
    assert done.status == 0, done.stderr
    assert builds.sh("cat /f") == "text"


def test_names_that_are_not_utf8_and_odd_files(builds):
    context = builds.context("FROM base:1\nCOPY odd /odd\n")
    (context / "odd").mkdir()
    (context / "odd" / os.fsdecode(b"name\xff")).write_text("x")
    os.mkfifo(context / "odd/pipe")
    done = builds.rootless("build", "-t", "t", str(context))
    assert done.status == 0, done.stderr
    assert builds.sh("ls /odd | wc -l") == "2\n"


def test_quiet_prints_the_id_and_nothing_else(builds, tmp_path):
    file = tmp_path / "id"
    done = builds("FROM base:1\nRUN echo shown\n", "-q", "--iidfile", str(file))
    assert (done.status, done.stderr) == (0, "")
    assert done.stdout == f"{builds.inspect()['Id']}\n"
    assert file.read_text() == done.stdout.strip()


def test_named_contexts_stand_for_images_stages_and_directories(builds, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other/f").write_text("other")
    (tmp_path / "other/.dockerignore").write_text("secret\n")
    (tmp_path / "other/secret").write_text("secret")
    dockerfile = """FROM alpine AS first
RUN echo first > /first
FROM first AS second
RUN echo second > /second
FROM base:1
COPY --from=dir . /d/
COPY --from=second /second /
"""
    builds.ok(
        dockerfile,
        "--build-context",
        "alpine=docker-image://base:1",
        "--build-context",
        f"dir={tmp_path}/other",
    )
    assert builds.sh("ls -A /d; cat /second").split() == [".dockerignore", "f", "second"]
    (tmp_path / "second").mkdir()
    (tmp_path / "second/second").write_text("replaced\n")
    builds.ok(
        dockerfile,
        *("--build-context", f"second={tmp_path}/second"),
        *("--build-context", f"dir={tmp_path}/other"),
    )
    assert builds.sh("cat /second") == "replaced\n"
    layout = tmp_path / "layout"
    done = builds.rootless("save", "--format", "oci-dir", "base:1", "-o", str(layout))
    assert done.status == 0, done.stderr
    builds.ok("FROM laid\nRUN echo x > /x\n", "--build-context", f"laid=oci-layout://{layout}")
    assert builds.sh("cat /x") == "x\n"


def test_a_repository_is_a_context_and_a_source_of_add(builds, tmp_path):
    repository = tmp_path / "repository.git"
    work = tmp_path / "work"
    script = f"""set -e
export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
git init -q -b main {work}
cd {work}
mkdir sub
echo one > sub/f
printf 'FROM base:1\\nCOPY f /f\\n' > sub/Dockerfile
git add . && git commit -qm one && git tag v1
echo two > sub/f && git commit -qam two
git clone -q --bare {work} {repository}
git -C {repository} update-server-info
"""
    done = subprocess.run(["sh", "-c", script], capture_output=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(tmp_path))

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/repository.git"
    try:
        done = builds.rootless("build", "-t", "t", f"{url}#v1:sub")
        assert done.status == 0, done.stderr
        assert builds.sh("cat /f") == "one\n"
        builds.ok(f"FROM base:1\nADD {url} /r\nADD --keep-git-dir=true {url}#v1 /k\n")
        assert builds.sh("cat /r/sub/f /k/sub/f; ls -A /r; ls -d /k/.git").split() == [
            *("two", "one", "sub", "/k/.git"),
        ]
        (tmp_path / "Remote").write_text("FROM base:1\nRUN echo remote > /remote\n")
        done = builds.rootless("build", "-t", "t", url.replace("repository.git", "Remote"))
        assert done.status == 0, done.stderr
        assert builds.sh("cat /remote") == "remote\n"
    finally:
        server.shutdown()
        server.server_close()
