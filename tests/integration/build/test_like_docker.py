"""Details in which layers, config and history are those of docker 28.5, from the same files."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.needs("userns", "fuse", "busybox")


def entries(layer):
    return {each.name: (oct(each.mode), each.uid, each.gid) for each in layer}


def test_a_destination_that_is_made_has_neither_owner_nor_mode_of_its_source(builds):
    builds.ok(
        """FROM base:1 AS s
RUN mkdir -p /o/p && echo 1 > /o/p/f && chown -R 5:6 /o && chmod 711 /o/p && ln -s p /o/lp
FROM base:1
COPY --from=s /o /o
COPY --from=s /o/lp /lp
COPY --from=s --chown=7 /o/p/f /pf
"""
    )
    layers = builds.layers()[1:]
    assert entries(layers[0]) == {
        "o": ("0o755", 0, 0),
        "o/lp": ("0o777", 0, 0),
        "o/p": ("0o711", 5, 6),
        "o/p/f": ("0o644", 5, 6),
    }
    assert entries(layers[1]) == {"lp": ("0o755", 0, 0), "lp/f": ("0o644", 5, 6)}
    assert entries(layers[2]) == {"pf": ("0o644", 7, 7)}


def test_set_id_bits_of_a_context_are_left_out(builds):
    context = builds.context("FROM base:1\nCOPY x /x\nCOPY --chmod=4711 x /y\n", {"x": ""})
    (context / "x").chmod(0o6755)
    builds.ok((context / "Dockerfile").read_text())
    assert builds.sh("stat -c %a /x /y").split() == ["755", "4711"]


def test_paths_and_arguments_are_shown_as_they_are(builds):
    builds.ok(
        """ARG T=1
FROM base:$T
ARG T
ARG U=$T-u
ARG given
WORKDIR rel
WORKDIR ../up
WORKDIR /usr/bin/../x
COPY --link Dockerfile /k
""",
        *("--build-arg", "given=g"),
    )
    assert builds.history()[:-1] == [
        "COPY Dockerfile /k # buildkit",
        "WORKDIR /usr/bin/../x",
        "WORKDIR /up",
        "WORKDIR /rel",
        "ARG given=g",
        "ARG U=1-u",
        "ARG T=1",
    ]
    assert builds.inspect()["Config"]["WorkingDir"] == "/usr/bin/../x"
