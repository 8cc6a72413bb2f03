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
    assert process.wait(120) == 0
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


def test_findings_are_shown_as_a_document(builds):
    text = "FROM base:1\nCMD echo\nRUN true\n"
    context = str(builds.context(text))
    done = builds.rootless("build", "--call=check,format=json", context)
    assert (done.status, done.stderr) == (1, "")
    found = json.loads(done.stdout)
    location = {"ranges": [{"start": {"line": 2}, "end": {"line": 2}}]}
    assert found["warnings"] == [
        {
            "ruleName": "JSONArgsRecommended",
            "description": "JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior "
            "related to OS signals",
            "url": "https://docs.docker.com/go/dockerfile/rule/json-args-recommended/",
            "detail": "JSON arguments recommended for CMD to prevent unintended behavior related to OS "
            "signals",
            "location": location,
        }
    ]
    (source,) = found["sources"]
    assert (source["filename"], source["language"]) == ("Dockerfile", "Dockerfile")
    assert base64.b64decode(source["data"]).decode() == text
    assert builds.rootless("build", "--call=check,ignorestatus=true", context).status == 0
    assert builds.rootless("build", "--call=lint", context).status == 1


def test_a_document_of_a_check_has_the_error(builds):
    context = str(builds.context("FROM base:1\nFOO x\n"))
    done = builds.rootless("build", "--check", "--call=check,format=json", context)
    assert done.status == 1
    found = json.loads(done.stdout)
    assert found["warnings"] is None
    assert found["buildError"] == {
        "message": "dockerfile parse error on line 2: unknown instruction: FOO (did you mean FROM?)",
        "location": {"ranges": [{"start": {"line": 2}, "end": {"line": 2}}]},
    }
    assert ">>> FOO x" in done.stderr
    context = str(builds.context("# check=error=true\nFROM base:1 as x\n"))
    done = builds.rootless("build", "--call=check,format=json", context)
    assert json.loads(done.stdout)["buildError"] == {
        "message": "lint violation found for rules: FromAsCasing",
        "location": {},
    }


def test_triggers_of_a_base_are_checked_in_the_line_of_from(builds):
    """As docker 28.5 finds them."""
    builds.ok(
        "FROM base:1\nONBUILD CMD echo hi\nONBUILD WORKDIR x\nONBUILD ENV a b\n"
        "ONBUILD ARG PASSWORD\nONBUILD COPY $undef/f /x\nONBUILD EXPOSE 80/TCP\n"
    )
    expected = [
        "JSONArgsRecommended",
        "WorkdirRelativePath",
        "LegacyKeyValueFormat",
        "SecretsUsedInArgOrEnv",
        "UndefinedVar",
        "ExposeProtoCasing",
        "MultipleInstructionsDisallowed",
    ]
    context = str(builds.context('\nFROM t\nCMD ["a"]\n', {"f": ""}))
    done = builds.rootless("build", "--call=check,format=json", context)
    found = json.loads(done.stdout)["warnings"]
    assert [each["ruleName"] for each in found] == expected
    assert {each["location"]["ranges"][0]["start"]["line"] for each in found} == {2}
    shown = builds.rootless("build", "-t", "u", context).stderr
    assert [line.partition(":")[0] for line in shown.splitlines() if line.startswith(" - ")] == [
        f" - {rule}" for rule in expected
    ]
