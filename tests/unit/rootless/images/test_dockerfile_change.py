"""--change: Dockerfile instructions as Docker applies them to a config."""

import pytest

from rootless.errors import UsageError
from rootless.images.dockerfile_change import apply_change


@pytest.mark.parametrize(
    ("change", "config"),
    [
        ('CMD ["a", "b c"]', {"Cmd": ["a", "b c"]}),
        ("cmd a b", {"Cmd": ["/bin/sh", "-c", "a b"]}),
        ("CMD [ -f x ]", {"Cmd": ["/bin/sh", "-c", "[ -f x ]"]}),
        ('ENTRYPOINT ["/init"]', {"Entrypoint": ["/init"], "Cmd": None}),
        ('ENV A=1 B="two words" C=x\\ y', {"Env": ["A=1", "B=two words", "C=x y"]}),
        ("ENV A some words", {"Env": ["A=some words"]}),
        (
            "EXPOSE 80 53/udp 90-91",
            {"ExposedPorts": {"80/tcp": {}, "53/udp": {}, "90/tcp": {}, "91/tcp": {}}},
        ),
        ("LABEL a='b c' d=", {"Labels": {"a": "b c", "d": ""}}),
        ("ONBUILD RUN make", {"OnBuild": ["RUN make"]}),
        ("STOPSIGNAL SIGINT", {"StopSignal": "SIGINT"}),
        ("USER 1000:1000", {"User": "1000:1000"}),
        ('VOLUME ["/a b", "/c"]', {"Volumes": {"/a b": {}, "/c": {}}}),
        ("VOLUME /a /b", {"Volumes": {"/a": {}, "/b": {}}}),
        ("WORKDIR /srv/../app", {"WorkingDir": "/app"}),
        ("WORKDIR rel", {"WorkingDir": "/rel"}),
    ],
)
def test_instruction_sets_its_field(change, config):
    assert apply_change({}, change) == config


def test_instructions_build_on_what_is_there():
    config = {"Env": ["A=1", "B=2"], "WorkingDir": "/srv", "Labels": {"x": "1"}}
    config = apply_change(config, "ENV A=3")
    config = apply_change(config, "WORKDIR app")
    config = apply_change(config, "LABEL y=2")
    assert config == {
        "Env": ["B=2", "A=3"],
        "WorkingDir": "/srv/app",
        "Labels": {"x": "1", "y": "2"},
    }


@pytest.mark.parametrize(
    "change",
    [
        "",
        "RUN x",
        "CMD",
        "ENV A",
        'ENV A="x',
        "EXPOSE 0",
        "EXPOSE 70000",
        "EXPOSE x",
        "ONBUILD FROM x",
        "LABEL =x",
    ],
)
def test_malformed_instruction_is_refused(change):
    with pytest.raises(UsageError):
        apply_change({}, change)
