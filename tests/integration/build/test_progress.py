"""What a build shows while it goes on, and what it finds to be probable mistakes."""

from __future__ import annotations

import base64
import json
import os
import pty
import re
import subprocess
import sys

import pytest

pytestmark = pytest.mark.needs("userns", "fuse", "busybox")

DOCKERFILE = "FROM base:1\nRUN echo out; echo err >&2; printf partial\nCMD true\n"


def test_plain_output_is_that_of_buildkit(builds):
    shown = builds.ok(DOCKERFILE)
    timeless = re.sub(r"\d+\.\d+s?", "T", shown)
    assert timeless.startswith(
        "#1 [internal] load build definition from Dockerfile\n#1 DONE T\n\n#2 "
    )
    assert "\n#4 [2/2] RUN echo out; echo err >&2; printf partial\n" in timeless
    assert sorted(line for line in timeless.splitlines() if line.startswith("#4 T")) == [
        "#4 T err",
        "#4 T out",
        "#4 T partial",
    ]
    assert timeless.endswith(
        "\n 1 warning found:\n - JSONArgsRecommended: JSON arguments recommended for CMD to prevent "
        "unintended behavior related to OS signals (line 3)\n"
    )
    assert "#4 CACHED" in builds.ok(DOCKERFILE)


def test_raw_json_has_vertexes_logs_and_statuses(builds):
    shown = builds.ok(DOCKERFILE, "--progress", "rawjson")
    found = [json.loads(line) for line in shown.splitlines()]
    names = {each["name"] for line in found for each in line.get("vertexes", ())}
    assert "[2/2] RUN echo out; echo err >&2; printf partial" in names
    logs = b"".join(
        base64.b64decode(each["data"]) for line in found for each in line.get("logs", ())
    )
    assert b"out\n" in logs
    ended = [each for line in found for each in line.get("vertexes", ()) if "completed" in each]
    assert len(ended) == len(names)


def test_a_terminal_gets_a_line_for_each_step(builds):
    context = builds.context(DOCKERFILE)
    master, slave = pty.openpty()
    argv = [sys.executable, "-m", "rootless", "build", "-t", "t", str(context)]
    process = subprocess.Popen(
        argv, env=builds.rootless.env, stderr=slave, stdin=subprocess.DEVNULL
    )
    os.close(slave)
    data = b""
    while True:
        try:
            piece = os.read(master, 65536)
        except OSError:
            break
        if not piece:
            break
        data += piece
    os.close(master)
    assert process.wait(30) == 0
    last = data[data.rindex(b"\x1b[0J") :].decode()
    assert "FINISHED" in last
    assert " => [2/2] RUN echo out; echo err >&2" in last


def test_check_prints_the_findings(builds):
    context = builds.context("FROM base:1\nMAINTAINER me\n")
    done = builds.rootless("build", "--check", str(context))
    assert done.status == 1
    assert "WARNING: MaintainerDeprecated - https://" in done.stdout
    context = builds.context("FROM base:1\n")
    done = builds.rootless("build", "--check", str(context))
    assert (done.status, done.stdout) == (0, "Check complete, no warnings found.\n")
    context = builds.context("FROM base:1\nRUNN x\n")
    done = builds.rootless("build", "--check", str(context))
    assert done.status == 1
    assert "unknown instruction: RUNN" in done.stderr
    assert done.stdout == ""


def test_check_knows_the_variables_of_base_images_in_the_store(builds):
    builds.ok("FROM base:1\nENV HOME_OF_BASE=/home\n")
    text = "FROM t\nWORKDIR $HOME_OF_BASE\nFROM scratch AS last\nCOPY --from=0 $HOME_OF_BASE /\n"
    done = builds.rootless("build", "--check", str(builds.context(text)))
    assert done.status == 1
    assert done.stdout.startswith("Check complete, 1 warning has been found!\n")
    assert "Dockerfile:4\n" in done.stdout
    text = text.replace("FROM scratch", "FROM other")
    context = str(builds.context(text))
    named = "other=docker-image://t"
    done = builds.rootless("build", "--check", "--build-context", named, context)
    assert (done.status, done.stdout) == (0, "Check complete, no warnings found.\n")
    # A name that is not in the store is not looked up elsewhere.
    done = builds.rootless("build", "--check", context)
    assert "Usage of undefined variable '$HOME_OF_BASE'" in done.stdout


def test_check_prints_the_findings_before_an_error_too(builds):
    context = builds.context("FROM base:1 AS Base\nMAINTAINER me\nRUNN x\n")
    done = builds.rootless("build", "--check", str(context))
    assert done.status == 1
    assert done.stdout.startswith("Check complete, 2 warnings have been found!\n")
    assert "dockerfile parse error on line 3: unknown instruction: RUNN" in done.stderr


def test_a_dockerfile_can_ask_for_errors(builds):
    done = builds("# check=error=true\nFROM base:1\nMAINTAINER me\n")
    assert done.status == 1
    assert "lint violation found for rules: MaintainerDeprecated" in done.stderr


def test_targets_and_outline_are_shown_without_a_build(builds):
    text = (
        "ARG FROM_BASE\nFROM base:1 AS first\nARG A=1\nRUN --mount=type=secret,id=s true\n"
        "# last what to run\nFROM nowhere.invalid/x AS last\nCOPY --from=first / /\n"
    )
    context = str(builds.context(text))
    done = builds.rootless("build", "--call=targets", context)
    assert (done.status, done.stderr) == (0, "")
    assert done.stdout.splitlines()[1:] == ["first          ", "last (default) what to run"]
    done = builds.rootless("build", "--call=outline", "--build-arg", "A=2", context)
    assert (done.status, done.stderr) == (0, "")
    assert "\nA           2       \n" in done.stdout
    assert "\nSECRET   REQUIRED\ns        \n" in done.stdout
    done = builds.rootless("build", "--call=outline,format=json", "--target", "first", context)
    found = json.loads(done.stdout)
    assert [each["name"] for each in found["args"]] == ["A"]
    assert base64.b64decode(found["sources"][0]).decode() == text


def test_targets_and_outline_of_what_cannot_be_built(builds):
    context = str(builds.context("FROM base:1\nRUNN x\n"))
    for method in ("targets", "outline"):
        done = builds.rootless("build", f"--call={method}", context)
        assert (done.status, done.stdout) == (1, "")
        assert "dockerfile parse error on line 2: unknown instruction: RUNN" in done.stderr
        assert ">>> RUNN x" in done.stderr
    done = builds.rootless("build", "--call=targets,form=json", context)
    assert done.status == 1
    assert "invalid print field: form=json" in done.stderr
