"""What each instruction does to files and to the config: the values are those of docker 28.5."""

from __future__ import annotations

import http.server
import os
import tarfile
import threading

import pytest

pytestmark = pytest.mark.needs("userns", "fuse", "busybox")

EVERYTHING = """
FROM base:1 AS one
ARG FOO=bar
ARG NOPE
ENV A=1 B="two words"
ENV OLD style value
LABEL x=y "long key"="v w"
WORKDIR /work
WORKDIR sub
COPY a.txt /dest/
COPY --chown=daemon:daemon --chmod=600 a.txt dir/b ./
ADD dir /dirs/
RUN echo hi > /out; env > /env
RUN ["/bin/sh", "-c", "id > /id"]
SHELL ["/bin/sh", "-e", "-c"]
EXPOSE 80 53/udp 90-91
VOLUME /v1 /v2
VOLUME ["/v3"]
USER daemon
WORKDIR /owned
RUN id > x; pwd >> x
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --retries=2 CMD true
MAINTAINER me <me@x>
ONBUILD RUN echo trig
CMD echo hello
ENTRYPOINT ["/bin/echo", "ent"]
CMD ["a", "b c"]
"""
FILES = {"a.txt": "hi\n", "dir/b": "b\n", "dir/sub/c": "c\n"}

HISTORY = """
CMD ["a" "b c"]
ENTRYPOINT ["/bin/echo" "ent"]
CMD ["/bin/sh" "-e" "-c" "echo hello"]
MAINTAINER me <me@x>
HEALTHCHECK &{["CMD-SHELL" "true"] "5s" "0s" "0s" "0s" '\\x02'}
STOPSIGNAL SIGTERM
RUN |2 FOO=bar NOPE= /bin/sh -e -c id > x; pwd >> x # buildkit
WORKDIR /owned
USER daemon
VOLUME [/v3]
VOLUME [/v1 /v2]
EXPOSE [53/udp 80/tcp 90/tcp 91/tcp]
SHELL [/bin/sh -e -c]
RUN |2 FOO=bar NOPE= /bin/sh -c id > /id # buildkit
RUN |2 FOO=bar NOPE= /bin/sh -c echo hi > /out; env > /env # buildkit
ADD dir /dirs/ # buildkit
COPY --chown=daemon:daemon --chmod=600 a.txt dir/b ./ # buildkit
COPY a.txt /dest/ # buildkit
WORKDIR /work/sub
WORKDIR /work
LABEL x=y long key=v w
ENV OLD=style value
ENV A=1 B=two words
ARG NOPE
ARG FOO=bar
"""

CONFIG = {
    "ArgsEscaped": True,
    "Cmd": ["a", "b c"],
    "Entrypoint": ["/bin/echo", "ent"],
    "Env": [
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "A=1",
        "B=two words",
        "OLD=style value",
    ],
    "ExposedPorts": {"53/udp": {}, "80/tcp": {}, "90/tcp": {}, "91/tcp": {}},
    "Healthcheck": {"Interval": 5000000000, "Retries": 2, "Test": ["CMD-SHELL", "true"]},
    "Labels": {"long key": "v w", "x": "y"},
    "OnBuild": ["RUN echo trig"],
    "Shell": ["/bin/sh", "-e", "-c"],
    "StopSignal": "SIGTERM",
    "User": "daemon",
    "Volumes": {"/v1": {}, "/v2": {}, "/v3": {}},
    "WorkingDir": "/owned",
}


def members(layer):
    return {
        each.name: (each.mode, each.uid, each.gid, each.type.decode(), each.size) for each in layer
    }


def test_every_instruction_gives_the_config_history_and_layers_of_docker(builds):
    builds.ok(EVERYTHING, files=FILES)
    found = builds.inspect()
    config = {name: value for name, value in found["Config"].items() if value not in (None, "", {})}
    assert {name: config.get(name) for name in CONFIG} == CONFIG
    assert found["Author"] == "me <me@x>"
    assert builds.history()[:-1] == HISTORY.strip().split("\n")
    layers = builds.layers()[1:]
    assert [members(layer) for layer in layers[:5]] == [
        {"work": (0o755, 0, 0, "5", 0)},
        {"work": (0o755, 0, 0, "5", 0), "work/sub": (0o755, 0, 0, "5", 0)},
        {"dest": (0o755, 0, 0, "5", 0), "dest/a.txt": (0o644, 0, 0, "0", 3)},
        {
            "work": (0o755, 0, 0, "5", 0),
            "work/sub": (0o755, 0, 0, "5", 0),
            "work/sub/a.txt": (0o600, 1, 1, "0", 3),
            "work/sub/b": (0o600, 1, 1, "0", 2),
        },
        {
            "dirs": (0o755, 0, 0, "5", 0),
            "dirs/b": (0o644, 0, 0, "0", 2),
            "dirs/sub": (0o755, 0, 0, "5", 0),
            "dirs/sub/c": (0o644, 0, 0, "0", 2),
        },
    ]
    assert members(layers[-2]) == {"owned": (0o755, 1, 1, "5", 0)}
    script = "cat /out /id; sort /env; cat x"
    assert builds.sh(script).splitlines() == [
        "hi",
        "uid=0(root) gid=0(root) groups=0(root)",
        "A=1",
        "B=two words",
        "FOO=bar",
        "HOME=/root",
        "OLD=style value",
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "PWD=/work/sub",
        "SHLVL=1",
        "uid=1(daemon) gid=1(daemon) groups=1(daemon)",
        "/owned",
    ]


def test_copy_puts_files_and_directories_where_docker_does(builds):
    context = builds.context(
        """FROM base:1
WORKDIR /bin
WORKDIR /home/worker
COPY d /home/worker
COPY d/x /etc
COPY d/ /newd
COPY d/l /lnk
COPY d/l d/x /two/
ADD a.tar.gz /tarred
COPY --chown=5 Dockerfile /new/dir/
COPY --chown=:daemon Dockerfile /f3
COPY --chown=worker:5 Dockerfile /f4
COPY d/[xz] d/su? /wild/
COPY nothing* /dst/
COPY ../Dockerfile /./x/../up
""",
        {"d/x": "x\n", "q": "q\n"},
    )
    (context / "d/sub").mkdir()
    (context / "d/l").symlink_to("x")
    os.link(context / "d/x", context / "d/hard")
    with tarfile.open(context / "a.tar.gz", "w:gz") as archive:
        info = archive.gettarinfo(context / "q", "q/q")
        info.uid = info.gid = 1
        info.mode = 0o640
        with open(context / "q", "rb") as file:
            archive.addfile(info, file)
    done = builds.rootless("build", "-t", "t", str(context))
    assert done.status == 0, done.stderr
    names = [
        {
            each.name: (oct(each.mode), each.uid, each.gid, each.type.decode(), each.linkname)
            for each in layer
        }
        for layer in builds.layers()[1:]
    ]
    directory = ("0o755", 0, 0, "5", "")
    assert names[:2] == [{}, {}]
    assert names[2] == {
        "home": directory,
        "home/worker": ("0o700", 1000, 1000, "5", ""),
        "home/worker/hard": ("0o644", 0, 0, "0", ""),
        "home/worker/l": ("0o777", 0, 0, "2", "x"),
        "home/worker/sub": directory,
        "home/worker/x": ("0o644", 0, 0, "1", "home/worker/hard"),
    }
    assert names[3] == {"etc": directory, "etc/x": ("0o644", 0, 0, "0", "")}
    assert set(names[4]) == {"newd", "newd/hard", "newd/l", "newd/sub", "newd/x"}
    assert names[5] == {"lnk": ("0o644", 0, 0, "0", "")}
    assert names[6] == {
        "two": directory,
        "two/l": ("0o644", 0, 0, "0", ""),
        "two/x": ("0o644", 0, 0, "0", ""),
    }
    assert names[7] == {
        "tarred": directory,
        "tarred/q": directory,
        "tarred/q/q": ("0o640", 1, 1, "0", ""),
    }
    assert names[8] == {
        "new": ("0o755", 5, 5, "5", ""),
        "new/dir": ("0o755", 5, 5, "5", ""),
        "new/dir/Dockerfile": ("0o644", 5, 5, "0", ""),
    }
    assert names[9] == {"f3": ("0o644", 0, 1, "0", "")}
    assert names[10] == {"f4": ("0o644", 1000, 5, "0", "")}
    assert set(names[11]) == {"wild", "wild/x"}
    assert names[12] == {}
    assert names[13] == {"up": ("0o644", 0, 0, "0", "")}


def test_a_stage_copies_from_stages_and_images(builds):
    shown = builds.ok(
        """FROM base:1 AS build
RUN echo made > /out && chown 7:8 /out
FROM scratch AS unneeded
COPY nosuchfile /
FROM base:1
COPY --from=build /out /o
COPY --from=0 /bin/busybox /bb
COPY --from=base:1 /etc/passwd /p
"""
    )
    assert "unneeded" not in shown
    assert builds.sh("cat /o; stat -c '%u %g' /o; cmp /bb /bin/busybox && echo same; head -1 /p | cut -d: -f1").split() == [
        "made", "7", "8", "same", "root",
    ]  # fmt: skip
    assert builds.history()[:3] == [
        "COPY /etc/passwd /p # buildkit",
        "COPY /bin/busybox /bb # buildkit",
        "COPY /out /o # buildkit",
    ]


def test_an_image_of_nothing_but_copied_files(builds):
    builds.ok("FROM scratch\nCOPY Dockerfile /D\n")
    assert [each.name for layer in builds.layers() for each in layer] == ["D"]
    config = builds.inspect()["Config"]
    assert config["WorkingDir"] == "/"


def test_triggers_of_the_base_run_after_from(builds):
    builds.ok("FROM base:1\nONBUILD COPY f /onbuild\nONBUILD RUN echo ran >> /onbuild\n")
    assert builds.rootless("tag", "t", "parent:1").status == 0
    builds.ok("FROM parent:1\nRUN echo own >> /onbuild\n", files={"f": "copied\n"})
    assert builds.sh("cat /onbuild").split() == ["copied", "ran", "own"]
    assert not builds.inspect()["Config"].get("OnBuild")


def test_arguments_have_the_scopes_of_the_reference(builds):
    builds.ok(
        """ARG tag=1
ARG outer=o
FROM base:$tag
ARG outer
ARG own=d
RUN echo "$outer $own $undeclared" > /args
""",
        "--build-arg",
        "own=given",
        "--build-arg",
        "undeclared=u",
    )
    assert builds.sh("cat /args") == "o given \n"


def test_a_url_is_fetched_and_its_checksum_is_verified(builds, tmp_path):
    (tmp_path / "served").mkdir()
    (tmp_path / "served/file.txt").write_text("fetched\n")
    os.utime(tmp_path / "served/file.txt", (1_600_000_000, 1_600_000_000))

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(tmp_path / "served"))

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/file.txt"
    good = "sha256:ff86d0e6e5cbc58c4ff1a5dc7c5ed0b5df5d1bd4b0d5c3e2a1ae8ee2f5cf8d8e"
    try:
        builds.ok(f"FROM base:1\nADD {url} /got/\n")
        assert builds.sh("stat -c '%a %Y' /got/file.txt; cat /got/file.txt").splitlines() == [
            "600 1600000000",
            "fetched",
        ]
        done = builds(f"FROM base:1\nADD --checksum={good} {url} /got/\n")
    finally:
        server.shutdown()
        server.server_close()
    assert done.status == 1
    assert "digest mismatch" in done.stderr
