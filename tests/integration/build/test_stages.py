"""Stages: which are built, at the same time, and what becomes of the others when one fails."""

from __future__ import annotations

import os

import pytest

pytestmark = pytest.mark.needs("userns", "fuse", "busybox")

MEETING = """FROM base:1 AS a
RUN --mount=type=cache,target=/c touch /c/a; timeout 60 sh -c 'until [ -e /c/b ]; do sleep 0.1; done' && echo a > /a
FROM base:1 AS b
RUN --mount=type=cache,target=/c touch /c/b; timeout 60 sh -c 'until [ -e /c/a ]; do sleep 0.1; done' && echo b > /b
FROM base:1
COPY --from=a /a /
COPY --from=b /b /
"""


def test_independent_stages_run_at_the_same_time(builds):
    shown = builds.ok(MEETING, "--jobs", "2")
    assert "[a 2/2] RUN" in shown
    assert "[b 2/2] RUN" in shown
    assert builds.sh("cat /a /b").split() == ["a", "b"]
    assert builds.rootless("system", "check").status == 0


def test_one_job_builds_them_one_after_the_other(builds):
    builds.ok(
        """FROM base:1 AS a
RUN echo a > /a
FROM base:1 AS b
RUN echo b > /b
FROM a
COPY --from=b /b /
""",
        *("--jobs", "1"),
    )
    assert builds.sh("cat /a /b").split() == ["a", "b"]


def test_a_failure_ends_the_other_stages(builds):
    done = builds(
        """FROM base:1 AS a
RUN sleep 1000
FROM base:1 AS b
RUN echo broken; exit 7
FROM base:1
COPY --from=a /a /
COPY --from=b /b /
""",
        *("--jobs", "2"),
    )
    assert done.status == 1
    assert "did not complete successfully: exit code: 7" in done.stderr
    assert "Dockerfile:4" in done.stderr
    assert " > [b 2/2] RUN echo broken; exit 7:" in done.stderr
    store = builds.rootless.data / "rootless"
    assert [each for each in os.listdir(store / "tmp") if each != ".lock"] == []


def test_a_hundred_stages(builds):
    lines = ["FROM base:1 AS s0", "RUN echo 0 > /n"]
    for n in range(1, 100):
        base = "base:1" if n % 3 else f"s{n - 1}"
        lines += [f"FROM {base} AS s{n}", f"COPY --from=s{n - 1} /n /n", f"ENV n{n}=x"]
    builds.ok("\n".join(lines) + "\n")
    assert builds.sh("cat /n") == "0\n"


def test_two_hundred_instructions_and_a_long_run(builds):
    lines = ["FROM base:1", *(f"ENV v{n}={n}" for n in range(200))]
    script = "".join("  a=x$a; \\\n" for _ in range(10_000))
    lines.append(f"RUN \\\n{script}  echo ${{#a}} > /long")
    builds.ok("\n".join(lines) + "\n")
    assert builds.sh("cat /long; echo $v199").split() == ["10000", "199"]


def test_many_layers_are_read_through_a_merged_index(builds):
    lines = ["FROM base:1", *(f"COPY Dockerfile /f{n}" for n in range(20)), "RUN ls / | grep -c f"]
    builds.ok("\n".join(lines) + "\n")
    assert len(builds.layers()) == 22
    assert builds.sh("ls / | grep -c '^f[0-9]'") == "20\n"
