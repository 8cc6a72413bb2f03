"""Dockerfiles as people write them, on a Debian."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.needs("userns", "fuse", "subuid")


@pytest.fixture
def debian(builds, debian_image):
    done = builds.rootless("import", debian_image, "debian:12", timeout=120)
    assert done.status == 0, done.stderr
    return builds


APP = """FROM debian:12
RUN mkdir -p /app
WORKDIR /app
COPY package.json /app/
RUN perl -ne 'print "installed $1\\n" if /"(\\w+)": "\\d/' package.json > installed
COPY . /app
ENV PORT=8080
EXPOSE 8080
USER nobody
CMD ["perl", "main.pl"]
"""
FILES = {
    "package.json": '{"dependencies": {"left": "1.0"}}\n',
    "main.pl": 'print "port $ENV{PORT}\\n";\nopen(F, "installed"); print <F>;\n',
    ".dockerignore": "*.log\nDockerfile\n",
    "debug.log": "ignored",
}


def test_an_application_whose_install_is_cached(debian):
    debian.ok(APP, files=FILES)
    assert debian.rootless("run", "--rm", "t").stdout == "port 8080\ninstalled left\n"
    shown = debian.ok(APP, files={"main.pl": 'print "changed\\n";'})
    assert shown.count("CACHED") == 5
    assert debian.rootless("run", "--rm", "t").stdout == "changed\n"
    assert debian.sh("ls -A /app").split() == [
        ".dockerignore",
        "installed",
        "main.pl",
        "package.json",
    ]


def test_packages_are_installed_and_cleaned_up_in_one_layer(debian):
    debian.ok(
        """FROM debian:12
RUN dpkg -i --force-depends /srv/debs/cron*.deb >/dev/null 2>&1; \\
    getent group crontab && stat -c '%a %U:%G' /usr/bin/crontab \\
    && rm -rf /var/lib/apt/lists/* /srv/debs
"""
    )
    assert debian.sh("stat -c '%a %U:%G' /usr/bin/crontab; ls /srv").split() == [
        "2755",
        "root:crontab",
    ]
    names = [each.name for each in debian.layers()[-1]]
    assert "srv/.wh.debs" in names


def test_a_program_is_built_in_one_stage_and_copied_into_another(debian):
    debian.ok(
        """FROM debian:12 AS build
WORKDIR /src
COPY hello.sh .
RUN mkdir bin && install -m 755 hello.sh bin/hello
FROM debian:12
COPY --from=build /src/bin/hello /app/hello
CMD /app/hello
""",
        files={"hello.sh": "#!/bin/sh\necho hello from $0\n"},
    )
    assert debian.rootless("run", "--rm", "t").stdout == "hello from /app/hello\n"
    assert debian.sh("ls -d /src 2>&1 || true").startswith("ls: cannot access")
