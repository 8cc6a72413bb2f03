"""Dockerfile instructions as Docker's import and commit apply them to a config. Every outcome here is
one that Docker 28.5 gave."""

import pytest

from rootless.dockerfile.config import apply_changes
from rootless.dockerfile.errors import DockerfileError

BASE = {"Env": ["A=1", "B=2"], "Cmd": ["true"], "WorkingDir": "/srv", "Labels": {"x": "1"}}


@pytest.mark.parametrize(
    ("changes", "config"),
    [
        (['CMD ["a", "b c"]'], {"Cmd": ["a", "b c"]}),
        (["cmd a b"], {"Cmd": ["/bin/sh", "-c", "a b"]}),
        (["CMD [ -f x ]"], {"Cmd": ["/bin/sh", "-c", "[ -f x ]"]}),
        (["CMD echo $A"], {"Cmd": ["/bin/sh", "-c", "echo $A"]}),
        (["CMD x", "CMD []"], {"Cmd": None}),
        (['ENTRYPOINT ["/init"]'], {"Entrypoint": ["/init"], "Cmd": None}),
        (
            ['CMD ["x"]', 'ENTRYPOINT ["/e"]'],
            {"Entrypoint": ["/e"], "Cmd": ["x"]},
        ),
        (
            ['ENTRYPOINT ["/e"]', 'CMD ["x"]', 'ENTRYPOINT ["/f"]'],
            {"Entrypoint": ["/f"], "Cmd": ["x"]},
        ),
        (['ENV A=1 B="two words" C=x\\ y'], {"Env": ["A=1", "B=two words", "C=x y"]}),
        (['ENV A some  words "quoted"'], {"Env": ["A=some  words quoted"]}),
        (["ENV A=1 \\", " B=2", "# remark", "ENV C=3"], {"Env": ["A=1", "B=2", "C=3"]}),
        (["ENV A=1 \\\n\n# remark\n B=2"], {"Env": ["A=1", "B=2"]}),
        (
            ["EXPOSE 80 53/udp 90-91 7:8"],
            {"ExposedPorts": {"80/tcp": {}, "53/udp": {}, "90/tcp": {}, "91/tcp": {}, "8/tcp": {}}},
        ),
        (
            ["EXPOSE [::1]:80:80 ::1:81:81 82/ 7-7 0 83-85:86"],
            {"ExposedPorts": {f"{each}/tcp": {} for each in (80, 81, 82, 7, 0, 86)}},
        ),
        (["CMD"], {"Cmd": ["/bin/sh", "-c", ""]}),
        (["USER x", "USER $unset"], {}),
        (["EXPOSE $unset"], {}),
        (["LABEL a='b c' d="], {"Labels": {"a": "b c", "d": ""}}),
        (["ONBUILD RUN echo $A  x"], {"OnBuild": ["RUN echo $A  x"]}),
        (["STOPSIGNAL SIGINT"], {"StopSignal": "SIGINT"}),
        (["STOPSIGNAL 9"], {"StopSignal": "9"}),
        (["STOPSIGNAL rtmin+3"], {"StopSignal": "rtmin+3"}),
        (["USER 1000:1000"], {"User": "1000:1000"}),
        (['VOLUME ["/a b", "/c"]'], {"Volumes": {"/a b": {}, "/c": {}}}),
        (["VOLUME /a /b"], {"Volumes": {"/a": {}, "/b": {}}}),
        (["WORKDIR /srv/../app"], {"WorkingDir": "/app"}),
        (["WORKDIR rel", "WORKDIR ../b"], {"WorkingDir": "/b"}),
        (
            ["HEALTHCHECK --interval=5m --retries=3 CMD curl -f http://localhost/ || exit 1"],
            {
                "Healthcheck": {
                    "Test": ["CMD-SHELL", "curl -f http://localhost/ || exit 1"],
                    "Interval": 300_000_000_000,
                    "Retries": 3,
                }
            },
        ),
        (
            ['HEALTHCHECK --timeout=1s --start-period=1.5s CMD ["a", "b"]'],
            {
                "Healthcheck": {
                    "Test": ["CMD", "a", "b"],
                    "Timeout": 1_000_000_000,
                    "StartPeriod": 1_500_000_000,
                }
            },
        ),
        (["HEALTHCHECK CMD x", "HEALTHCHECK NONE"], {"Healthcheck": {"Test": ["NONE"]}}),
    ],
)
def test_instruction_sets_its_field(changes, config):
    assert apply_changes({}, changes) == config


@pytest.mark.parametrize(
    ("change", "field", "value"),
    [
        ("ENV A=3", "Env", ["A=3", "B=2"]),
        ("ENV PATH=/opt/bin:$PATH", "Env", ["A=1", "B=2", "PATH=/opt/bin:"]),
        ("ENV C=$A-${B:-no}-${C:-no}-${C:+yes}", "Env", ["A=1", "B=2", "C=1-2-no-"]),
        ("ENV A=5 N=$A", "Env", ["A=5", "B=2", "N=1"]),
        (
            'LABEL a=$A "b c"="d $B" e=\\$A f=\'$A\'',
            "Labels",
            {"x": "1", "a": "1", "b c": "d 2", "e": "$A", "f": "$A"},
        ),
        ("WORKDIR a/$A", "WorkingDir", "/srv/a/1"),
        (
            "EXPOSE $A 90-92/UDP",
            "ExposedPorts",
            {"1/tcp": {}, "90/udp": {}, "91/udp": {}, "92/udp": {}},
        ),
        ('VOLUME ["/x y", "/z$B"]', "Volumes", {"/x y": {}, "/z2": {}}),
        ("USER u$A", "User", "u1"),
    ],
)
def test_variables_are_those_of_the_config(change, field, value):
    assert apply_changes(BASE, [change])[field] == value


def test_instructions_see_those_before_them():
    changes = ["ENV A=5", "ENV N=$A", "ENV P=/a/b.tar.gz Q=${A%1}"]
    changes += ["ENV R=${P##*/} S=${P%.*} T=${P#*/} U=${P%%.*} V=${P/a/x} W=${P//a/y}"]
    assert apply_changes({"Env": ["A=1"]}, changes)["Env"] == [
        "A=5",
        "N=5",
        "P=/a/b.tar.gz",
        "Q=5",
        "R=b.tar.gz",
        "S=/a/b.tar",
        "T=a/b.tar.gz",
        "U=/a/b",
        "V=/x/b.tar.gz",
        "W=/y/b.tyr.gz",
    ]


def test_config_that_was_given_stays_as_it_was():
    before = {**BASE, "Env": list(BASE["Env"])}
    apply_changes(BASE, ["ENV A=9", "LABEL x=2", "WORKDIR y"])
    assert before == BASE


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("", "no instructions"),
        ("# remark", "no instructions"),
        ("RUN x", "not a valid change command"),
        ("FROM x", "not a valid change command"),
        ("FOO x", "FOO is not a valid change command"),
        ("ENV A", "two arguments"),
        ('ENV A="x', "double-quote"),
        ("ENV A='x", "single-quote"),
        ("ENV =x", "can not be blank"),
        ("ENV a=1 b", 'can\'t find = in "b"'),
        ("ENV a=${b", "missing"),
        ("ENV a=${b:?}", "b: is not allowed"),
        ("ENV a=${b:!x}", "unsupported modifier"),
        ("EXPOSE 70000", "invalid containerPort: 70000"),
        ("EXPOSE x", "invalid containerPort: x"),
        ("EXPOSE 80:x", "invalid containerPort: x"),
        ("EXPOSE x:80", "invalid hostPort: x"),
        ("EXPOSE 1.2.3:80:80", "invalid IP address: 1.2.3"),
        ("EXPOSE 80/x", 'invalid port: "80/x": invalid proto: x'),
        ("EXPOSE :80:", 'invalid port: ":80:": no port specified'),
        ("EXPOSE 80-82:90-91", "invalid ranges specified .* Ports: 90-91 and 80-82"),
        ("ONBUILD FROM x", "ONBUILD trigger"),
        ("ONBUILD ONBUILD RUN x", "Chaining"),
        ("STOPSIGNAL NOPE", "invalid signal"),
        ("STOPSIGNAL 0", "invalid signal"),
        ('VOLUME [""]', "empty string"),
        ("HEALTHCHECK FOO x", 'Unknown type "FOO"'),
        ("HEALTHCHECK CMD", "Missing command"),
        ("HEALTHCHECK NONE x", "takes no arguments"),
        ("HEALTHCHECK --interval=1us CMD x", "less than 1ms"),
        ("HEALTHCHECK --interval=x CMD x", "invalid duration"),
        ("HEALTHCHECK --retries=-1 CMD x", "negative"),
        ("HEALTHCHECK --foo=1 CMD x", "unknown flag: --foo"),
        ("ENV --foo=1 a=b", "unknown flag"),
        ("LABEL =x", "blank"),
    ],
)
def test_malformed_instruction_is_refused(change, words):
    with pytest.raises(DockerfileError, match=words) as caught:
        apply_changes({}, [change])
    assert caught.value.exit_status == 1
