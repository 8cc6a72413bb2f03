"""RUN --mount, --network and --security, here-documents, and the flags of COPY."""

from __future__ import annotations

import os
import shutil
import socket

import pytest

from tests.support.rootless import short_directory

pytestmark = pytest.mark.needs("userns", "fuse", "busybox")


def output(shown):
    """What commands have written, without step numbers and times."""
    return [
        line.split(" ", 2)[2]
        for line in shown.splitlines()
        if line.startswith("#") and line.split(" ", 2)[1].replace(".", "").isdigit()
    ]


def test_a_bind_mount_shows_the_context_and_leaves_nothing(builds):
    shown = builds.ok(
        "FROM base:1\nRUN --mount=type=bind,target=/m cat /m/f; echo x > /m/new || echo refused\n",
        files={"f": "content\n"},
    )
    assert output(shown)[0] == "content"
    assert "refused" in output(shown)
    assert builds.sh("ls -d /m 2>&1 || true").startswith("ls: /m: No such file")
    # Part of the key is what it shows.
    again = builds.ok(
        "FROM base:1\nRUN --mount=type=bind,target=/m cat /m/f; echo x > /m/new || echo refused\n"
    )
    assert output(again) == []
    changed = builds.ok(
        "FROM base:1\nRUN --mount=type=bind,target=/m cat /m/f; echo x > /m/new || echo refused\n",
        files={"f": "other\n"},
    )
    assert output(changed)[0] == "other"


def test_what_is_written_to_a_bind_mount_is_thrown_away(builds):
    shown = builds.ok(
        """FROM base:1 AS src
RUN mkdir /s && echo s > /s/f && chown 5:6 /s/f
FROM base:1
RUN mkdir -p /etc/m && echo hidden > /etc/m/own
RUN --mount=type=bind,from=src,source=/s,target=/etc/m,rw echo x > /etc/m/new; cat /etc/m/f; ls /etc/m; \\
    stat -c %u:%g /etc/m/f; echo kept > /kept
RUN --mount=type=bind,from=src,source=/s/f,target=/deep/er/file cat /deep/er/file
"""
    )
    assert output(shown) == ["s", "f", "new", "5:6", "s"]
    assert builds.sh("ls /etc/m; cat /kept; ls -d /deep 2>&1 || true").splitlines()[:2] == [
        "own",
        "kept",
    ]
    assert "No such file" in builds.sh("ls -d /deep 2>&1 || true")
    names = [each.name for each in builds.layers()[-2]]
    assert names == ["kept"]


def test_a_cache_mount_is_kept_for_later_builds(builds):
    dockerfile = (
        "FROM base:1\nRUN --mount=type=cache,target=/c echo line >> /c/f; wc -l < /c/f > /n\n"
    )
    builds.ok(dockerfile, "--no-cache")
    builds.ok(dockerfile, "--no-cache")
    assert builds.sh("cat /n; ls /c 2>&1 || true").split()[0] == "2"
    shown = builds.ok(
        "FROM base:1\nRUN --mount=type=cache,id=own,target=/c,uid=5,gid=6,mode=0700 ls -ldn /c; ls /c\n"
    )
    if os.path.exists("/etc/subuid"):
        assert output(shown)[0].split()[:4] == ["drwx------", "2", "5", "6"]
    assert builds.rootless("builder", "prune", "-a", "-f").status == 0
    builds.ok(dockerfile, "--no-cache")
    assert builds.sh("cat /n").strip() == "1"


def test_a_locked_cache_is_used_by_one_at_a_time(builds):
    dockerfile = (
        "FROM base:1\nARG n\nRUN --mount=type=cache,target=/c,sharing=locked "
        "test ! -e /c/busy && touch /c/busy && sleep 0.5 && rm /c/busy\n"
    )
    context = builds.context(dockerfile)
    both = [builds.rootless.popen("build", "--build-arg", f"n={n}", str(context)) for n in (1, 2)]
    assert [each.wait(120) for each in both] == [0, 0]


def test_a_secret_reaches_the_command_and_nothing_else(builds, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("hush-hush")
    dockerfile = """FROM base:1
RUN --mount=type=secret,id=s test "$(wc -c < /run/secrets/s)" = 9 && stat -c '%a %u' /run/secrets/s
RUN --mount=type=secret,id=s,env=TOKEN,target=/q/w test ${#TOKEN} = 9 && test -s /q/w
RUN --mount=type=secret,id=absent ls /run/secrets 2>&1; true
"""
    shown = builds.ok(dockerfile, "--secret", f"id=s,src={secret}")
    assert output(shown)[0] == "400 0"
    store = builds.rootless.data / "rootless"
    for directory, _, names in os.walk(store):
        for name in names:
            path = os.path.join(directory, name)
            with open(path, "rb") as file:
                assert b"hush-hush" not in file.read(), path
    assert "No such file" in builds.sh("ls /run/secrets /q 2>&1 || true")
    # Another value of the secret does not make the steps run again.
    secret.write_text("other")
    assert output(builds.ok(dockerfile, "--secret", f"id=s,src={secret}")) == []
    leftovers = [
        each
        for each in os.listdir(builds.rootless.runtime / "rootless")
        if each.startswith("build-")
    ]
    assert leftovers == []


def test_a_required_secret_that_is_not_there_is_an_error(builds):
    done = builds("FROM base:1\nRUN --mount=type=secret,id=r,required true\n")
    assert done.status == 1
    assert "failed to solve: secret r: not found" in done.stderr


def test_an_agent_is_reached_through_its_socket(builds):
    directory = short_directory()
    path = directory / "agent"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    try:
        shown = builds.ok(
            'FROM base:1\nRUN --mount=type=ssh test -S "$SSH_AUTH_SOCK" && echo $SSH_AUTH_SOCK\n',
            "--ssh",
            f"default={path}",
        )
    finally:
        listener.close()
        shutil.rmtree(directory)
    assert output(shown)[:1] == ["/run/buildkit/ssh_agent.0"]
    done = builds("FROM base:1\nRUN --mount=type=ssh,required true\n")
    assert "unset ssh forward key default" in done.stderr


def test_a_tmpfs_has_its_size_and_networks_are_as_asked(builds):
    shown = builds.ok(
        "FROM base:1\n"
        "RUN --mount=type=tmpfs,target=/t,size=1m dd if=/dev/zero of=/t/f bs=1k count=2000 2>/dev/null || stat -c %s /t/f\n"
        "RUN --network=none ls /sys/class/net\n"
    )
    assert output(shown) == ["1048576", "lo"]
    shown = builds.ok("FROM base:1\nRUN ls /sys/class/net\n", "--network", "none")
    assert output(shown) == ["lo"]


def test_the_network_of_the_host_has_to_be_allowed_in_a_build_without_one(builds):
    dockerfile = "FROM base:1\nRUN --network=host ls -d /sys/class/net/lo\n"
    builds.ok(dockerfile)
    done = builds(dockerfile, "--network", "none")
    assert (done.status, "network.host is not allowed" in done.stderr) == (1, True)
    builds.ok(dockerfile, "--network", "none", "--allow", "network.host")


def test_insecure_commands_have_to_be_allowed(builds):
    dockerfile = "FROM base:1\nRUN --security=insecure grep CapEff /proc/self/status\n"
    done = builds(dockerfile)
    assert done.status == 1
    assert "security.insecure is not allowed" in done.stderr
    shown = builds.ok(dockerfile, "--allow", "security.insecure")
    assert int(output(shown)[0].split()[1], 16) & 1 << 21  # CAP_SYS_ADMIN


def test_here_documents(builds):
    builds.ok(
        """FROM base:1
ARG V=1
RUN <<EOF
echo one > /one
echo "$V" >> /one
EOF
RUN <<EOF
#!/bin/sh
echo "script $0" > /two
cat >> /two
EOF
RUN sh <<EOF
echo three > /three
EOF
RUN cat <<A <<B > /four
a
A
b
B
COPY <<X /x
content $V
X
COPY <<"Y" <<-Z /yz/
no $V
Y
\t\ttabs
Z
"""
    )
    assert builds.sh("cat /one /two /three /four /x /yz/Y /yz/Z").splitlines() == [
        "one",
        "1",
        "script /dev/pipes/EOF",
        "three",
        "b",
        "content 1",
        "no $V",
        "tabs",
    ]
    assert "RUN |1 V=1 /bin/sh -c /dev/pipes/EOF # buildkit" in builds.history()


def test_flags_of_copy(builds):
    context = builds.context(
        """FROM base:1
COPY --exclude=*.txt . /a/
COPY --exclude=sub/*.md d /b/
COPY --parents d/sub/./x.md d/*.txt /c/
COPY --parents d/./sub/x.md /e
COPY --chmod=u=rwX,go=rX d /m/
COPY --chmod=a+x,o-r d/b.txt /m2
COPY --link --chown=7:8 d/a.txt /l2/
COPY --exclude=a.txt d/*.txt /f/
""",
        {"d/a.txt": "", "d/b.txt": "", "d/sub/x.md": "", "top.txt": ""},
    )
    (context / "d/a.txt").chmod(0o600)
    builds.ok((context / "Dockerfile").read_text())
    script = "for d in a b c e f; do (cd /$d && find . -type f | sort); done"
    assert builds.sh(script).split() == [
        *("./Dockerfile", "./d/a.txt", "./d/b.txt", "./d/sub/x.md"),
        *("./a.txt", "./b.txt"),
        *("./d/a.txt", "./d/b.txt", "./x.md"),
        *("./sub/x.md",),
        *("./b.txt",),
    ]
    assert builds.sh("stat -c '%a %u:%g' /m /m/a.txt /m2 /l2 /l2/a.txt").splitlines() == [
        "755 0:0",
        "644 0:0",
        "751 0:0",
        "755 7:8",
        "600 7:8",
    ]


def test_hosts_limits_and_shared_memory(builds):
    shown = builds.ok(
        "FROM base:1\nRUN grep -c 'fixed' /etc/hosts; ulimit -n; df -k /dev/shm | tail -1 | awk '{print $2}'\n",
        *("--add-host", "fixed:10.1.2.3", "--ulimit", "nofile=100:200", "--shm-size", "2m"),
    )
    assert output(shown) == ["1", "100", "2048"]
