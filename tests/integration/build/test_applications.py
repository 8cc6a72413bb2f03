"""Applications in Python, Node and C, as the first Dockerfiles of most people have them, built on a Debian and run."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile

import pytest

pytestmark = [pytest.mark.needs("userns", "fuse", "subuid"), pytest.mark.slow]


@pytest.fixture
def debian(builds, toolchain_image):
    builds.rootless("import", toolchain_image, "debian:12", timeout=300).ok()
    return builds


def wheel(name: str, source: str) -> bytes:
    """A package of Python: an archive that is installed by unpacking it."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr(f"{name}/__init__.py", source)
    return data.getvalue()


def package(name: str, source: str) -> bytes:
    """A package of Node."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        for path, text in (
            ("package/package.json", json.dumps({"name": name, "version": "1.0.0"})),
            ("package/index.js", source),
        ):
            info = tarfile.TarInfo(path)
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    return data.getvalue()


def layer_names(builds) -> list[list[str]]:
    return [[each.name for each in layer] for layer in builds.layers()]


def test_python_application(debian):
    dockerfile = """FROM debian:12
RUN mkdir -p /app
WORKDIR /app
COPY ./requirements.txt wheels /app/
RUN xargs -I{} python3 -m zipfile -e {} /usr/lib/python3/dist-packages < requirements.txt
COPY main.py /app/
CMD ["python3", "main.py"]
"""
    context = debian.context(
        dockerfile,
        {
            "requirements.txt": "left-1.0.whl\n",
            "main.py": "import left, os; print(left.pad('x'), os.getcwd())\n",
        },
    )
    (context / "wheels").mkdir()
    (context / "wheels/left-1.0.whl").write_bytes(
        wheel("left", "def pad(text): return text.rjust(3, '.')\n")
    )
    debian.ok(dockerfile)
    assert debian.rootless("run", "--rm", "t").ok().stdout == "..x /app\n"


NODE = {
    "package.json": json.dumps(
        {
            "name": "app",
            "version": "1.0.0",
            "scripts": {"start": "node main.js"},
            "dependencies": {"left": "file:deps/left-1.0.0.tgz"},
        }
    ),
    "main.js": "console.log(require('left')('x'))\n",
}
EVERYTHING_FIRST = """FROM debian:12
RUN mkdir -p /app
WORKDIR /app
COPY . /app
RUN npm install --offline --no-audit --no-fund && touch installed
CMD ["npm", "start", "--silent"]
"""
MANIFEST_FIRST = """FROM debian:12
RUN mkdir -p /app
WORKDIR /app
COPY package.json /app/
COPY deps /app/deps
RUN npm install --offline --no-audit --no-fund && touch installed
COPY . /app
CMD ["npm", "start", "--silent"]
"""


def test_node_application_and_the_order_of_its_steps(debian):
    context = debian.context("", NODE)
    (context / "deps").mkdir()
    (context / "deps/left-1.0.0.tgz").write_bytes(
        package("left", "module.exports = text => text.padStart(3, '.')\n")
    )
    shown = {}
    for name, dockerfile in (("all", EVERYTHING_FIRST), ("manifest", MANIFEST_FIRST)):
        (context / "main.js").write_text(NODE["main.js"])
        debian.ok(dockerfile)
        assert debian.rootless("run", "--rm", "t").ok().stdout == "..x\n"
        (context / "main.js").write_text("console.log(require('left')('changed'))\n")
        shown[name] = debian.ok(dockerfile)
        assert debian.rootless("run", "--rm", "t").ok().stdout == "changed\n"
    assert (
        shown["all"].count("CACHED") == 3
    )  # FROM, mkdir, WORKDIR: the packages are installed again
    assert shown["manifest"].count("CACHED") == 6


def test_one_run_makes_a_smaller_image_than_three(debian):
    fetch = "mkdir -p /var/lib/apt/lists && head -c 3000000 /dev/urandom > /var/lib/apt/lists/main"
    install = "install -m 755 /bin/true /usr/local/bin/certificates"
    clean = "rm -rf /var/lib/apt/lists/*"
    debian.ok(f"FROM debian:12\nRUN {fetch}\nRUN {install}\nRUN {clean}\n")
    three = debian.inspect()["Size"]
    debian.ok(f"FROM debian:12\nRUN {fetch} \\\n    && {install} \\\n    && {clean}\n")
    assert three - debian.inspect()["Size"] > 2_900_000
    assert debian.sh("ls /var/lib/apt/lists | wc -l; ls /usr/local/bin").split() == [
        *("0", "certificates"),
    ]


C = """#include <stdio.h>
int main(void) { puts("hello"); return 0; }
"""
ONE_STAGE = """FROM debian:12
RUN mkdir /app
WORKDIR /app
COPY . /app
RUN mkdir bin
RUN gcc -Wall hello.c -o bin/hello
CMD /app/bin/hello
"""
TWO_STAGES = """FROM debian:12 AS build
RUN mkdir /app
WORKDIR /app
COPY . /app
RUN mkdir bin
RUN gcc -static hello.c -o bin/hello

FROM base:1
COPY --from=build /app/bin/hello /app/hello
CMD /app/hello
"""


def test_program_in_c_in_one_stage_and_in_two(debian):
    debian.ok(ONE_STAGE, files={"hello.c": C})
    assert debian.rootless("run", "--rm", "t").ok().stdout == "hello\n"
    whole = debian.inspect()["Size"]
    debian.ok(TWO_STAGES, files={"hello.c": C})
    assert debian.rootless("run", "--rm", "t").ok().stdout == "hello\n"
    assert layer_names(debian)[1:] == [["app", "app/hello"]]
    assert debian.inspect()["Size"] < whole / 20
