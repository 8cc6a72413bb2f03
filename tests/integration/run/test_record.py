"""`run --record`: what is typed into a shell, as a Dockerfile that builds to the same tree."""

from __future__ import annotations

import pytest

from tests.support.archives import members
from tests.support.shell_on_terminal import type_into_shell

pytestmark = pytest.mark.needs("userns", "fuse", "busybox")


@pytest.fixture
def base(rootless, busybox_image):
    done = rootless("import", str(busybox_image), "base:1")
    assert done.status == 0, done.stderr


def session(rootless, lines, *arguments):
    """Run a container on a terminal, type lines, and return what was shown."""
    return type_into_shell(rootless, ("run", "-it", *arguments), lines)


def tree(rootless, tmp_path, dockerfile, name):
    """Everything that an image built of this Dockerfile holds, but times."""
    context = tmp_path / f"context-{name}"
    context.mkdir()
    (context / "Dockerfile").write_text(dockerfile)
    archive = tmp_path / f"{name}.tar"
    done = rootless("build", "-o", f"type=tar,dest={archive}", str(context))
    assert done.status == 0, done.stderr
    return members(archive)


SESSION = [
    "echo one > /one",
    "mkdir -p /app/src && cd /app",
    "pwd > where",
    "cd src",
    "export NAME='a \"b\" $c \\d'",
    "echo $NAME > name",
    "plain=value",
    "echo $plain > plain",
    "false",
    "cat /missing",
    "for i in 1 2 3; do",
    "  echo $i >> numbers",
    "done",
    "cat > here <<EOF",
    "  the $NAME",
    "# no comment",
    "EOF",
    "umask 077",
    "echo secret > private",
    "[ -f private ] && ln private linked",
    "echo $((1 << 3)) > eight",
    "unset NAME; cd /",
    'echo "${NAME-none}" > /unset',
    "# a comment",
    "ln -s one /two && rm -rf /home",
    "exit",
]


def test_the_dockerfile_of_a_session_in_sh_builds_to_the_tree_of_its_commit(
    base, rootless, tmp_path
):
    written = tmp_path / "Recorded"
    shown = session(rootless, SESSION, "--name", "made", "--record", str(written), "base:1", "sh")
    assert written.exists(), shown
    text = written.read_text()
    assert rootless("commit", "made", "committed").status == 0
    recorded = tree(rootless, tmp_path, text, "recorded")
    assert recorded == tree(rootless, tmp_path, "FROM committed\n", "committed"), text
    assert recorded["app/src/private"][1] == "0o600"
    assert "# exit status 1: false" in text
    assert "WORKDIR /app\n" in text
    assert rootless("inspect", "--format", "{{.Config.Cmd}}", "committed").stdout == "[sh]\n"
    assert rootless("rm", "made").status == 0


BASH = [
    "mkdir -p /srv/{a,b} && cd /srv/a",
    "export LEVEL=5; echo $LEVEL >> level",
    "if [[ $LEVEL == 5 ]]; then",
    "echo five > five",
    "fi",
    "cat > here << 'EOF'",
    "$LEVEL",
    "EOF",
    "nonsense",
    "cd ../b",
    "touch x{1..3}",
    "exit",
]


@pytest.mark.slow
def test_the_dockerfile_of_a_session_in_bash_builds_to_the_tree_of_its_commit(
    debian_image, rootless, tmp_path
):
    done = rootless("import", str(debian_image), "base:1")
    assert done.status == 0, done.stderr
    written = tmp_path / "Recorded"
    arguments = ("--name", "made", "--record", str(written), "base:1", "bash")
    shown = session(rootless, BASH, *arguments)
    assert written.exists(), shown
    text = written.read_text()
    assert rootless("commit", "made", "committed").status == 0
    recorded = tree(rootless, tmp_path, text, "recorded")
    assert recorded == tree(rootless, tmp_path, "FROM committed\n", "committed"), text
    assert "srv/b/x3" in recorded
    assert text.splitlines()[1:5] == [
        'SHELL ["/bin/bash", "-c"]',
        "RUN mkdir -p /srv/{a,b} && cd /srv/a",
        "WORKDIR /srv/a",
        "RUN export LEVEL=5; echo $LEVEL >> level",
    ]
    assert "# exit status 127: nonsense" in text


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("-it", "--record", "F", "base:1", "ls"), "what is typed into ls cannot be recorded"),
        (("-it", "--record", "F", "base:1", "sh", "-c", "ls"), "cannot be recorded"),
        (("--record", "F", "base:1", "sh"), "--record records what is typed at a terminal"),
        (("-d", "--record", "F", "base:1", "sh"), "--record needs a terminal"),
    ],
)
def test_what_cannot_be_recorded_is_refused(base, rootless, arguments, reason):
    if arguments[0] == "-it":
        assert reason in session(rootless, [], *arguments[1:])
    else:
        done = rootless("run", *arguments)
        assert done.status != 0
        assert reason in done.stderr
