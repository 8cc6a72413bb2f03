"""ARG and ENV across stages, and what each instruction makes of its variables. Every outcome here is one that
`docker build` of Docker 28.5 gave: its labels, and the rest of its config."""

import pytest

from rootless.dockerfile.config import apply_instruction
from rootless.dockerfile.errors import DockerfileError
from rootless.dockerfile.expansion import expand_instruction
from rootless.dockerfile.instructions import Arg, Cmd, Env
from rootless.dockerfile.scopes import (
    BuildPlatform,
    Scope,
    expand_from,
    global_variables,
    platform_arguments,
    proxy_variables,
)
from rootless.dockerfile.syntax.parser import parse

AMD64 = BuildPlatform("linux", "amd64")


def config_of(text, **build_args):
    """The config of the last stage, without files."""
    dockerfile = parse(text)
    outer = global_variables(dockerfile, platform_arguments(AMD64, AMD64, ""), build_args)
    done = {}
    for stage in dockerfile.stages:
        origin = expand_from(stage.origin, outer, dockerfile.escape)
        config, scope = done.get(origin.image, ({}, Scope({})))
        cmd_is_set = False
        for instruction in stage.instructions:
            expanded = expand_instruction(instruction, scope.expander(dockerfile.escape))
            if isinstance(expanded, Arg):
                scope = scope.with_arg(expanded, outer, build_args, dockerfile.escape)
            if isinstance(expanded, Env):
                scope = scope.with_env(expanded)
            config = apply_instruction(config, expanded, cmd_is_set=cmd_is_set)
            cmd_is_set = cmd_is_set or isinstance(instruction, Cmd)
        done[origin.name] = config, scope
    return config


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("ENV A=1\nARG A=2\nLABEL r=$A", {"r": "2"}),
        ("ARG A=2\nENV A=1\nLABEL r=$A\nARG A=3\nLABEL s=$A", {"r": "1", "s": "3"}),
        ("ENV A=1\nARG A\nLABEL r=$A", {"r": "1"}),
        ("ARG A='x y' B=\"$A z\" $A=1\nLABEL r=$A s=$B", {"r": "x y", "s": "x y z"}),
        (
            'LABEL "a b"="c \\\\\\\\n d" x=y\\\\ z=1',
            {"a b": "c \\\\n d", "x": "y\\", "z": "1"},
        ),
        (
            "LABEL a=\"line one\\\n line two\" b='$x' c=\\$x",
            {"a": "line one line two", "b": "$x", "c": "$x"},
        ),
        (
            "ENV a=1\nLABEL x=${b:-${c:-${a}2}3} y=${b:-\"q $a\"} z=${a:+'$a'} w=\"${b:-'x y'}\"",
            {"w": "x y", "x": "123", "y": "q 1", "z": "$a"},
        ),
        (
            "LABEL x=$$ y=$1a z=$@b u=$- v=$! t=$",
            {"t": "$", "u": "", "v": "", "x": "", "y": "a", "z": "b"},
        ),
    ],
)
def test_variables_of_one_stage(text, labels):
    assert config_of(f"FROM scratch\n{text}\n")["Labels"] == labels


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        (
            "ARG A=g\nFROM scratch\nLABEL r0=x$A\nARG A\nLABEL r=$A\nARG A=l\nLABEL s=$A",
            {"r0": "x", "r": "g", "s": "l"},
        ),
        (
            "ARG A=1\nARG B=${A}2\nFROM scratch\nARG B\nARG C=${B}3 D=${C}4\nLABEL r=$B s=$C t=$D",
            {"r": "12", "s": "123", "t": "1234"},
        ),
        (
            "FROM scratch AS one\nARG A=1\nENV E=e\nFROM one\nLABEL r=$A e=$E",
            {"r": "1", "e": "e"},
        ),
    ],
)
def test_variables_across_stages(text, labels):
    assert config_of(text)["Labels"] == labels


def test_build_arguments_replace_defaults():
    text = (
        "ARG A=1\nFROM scratch\nARG A\nARG B=2\nARG C=$B\nLABEL r=$A s=$B t=$C h=x$HTTP_PROXY\n"
        "ARG HTTP_PROXY\nLABEL g=$HTTP_PROXY"
    )
    found = config_of(text, A="5", B="6", HTTP_PROXY="p")
    assert found["Labels"] == {"r": "5", "s": "6", "t": "6", "h": "x", "g": "p"}


def test_platform_arguments_need_to_be_declared():
    text = (
        "FROM --platform=$BUILDPLATFORM scratch\nLABEL a=$TARGETARCH\nARG TARGETARCH TARGETPLATFORM "
        "BUILDPLATFORM TARGETOS TARGETVARIANT TARGETSTAGE\nLABEL b=$TARGETARCH c=$TARGETPLATFORM "
        "d=$BUILDPLATFORM e=$TARGETOS f=x$TARGETVARIANT g=$TARGETSTAGE"
    )
    assert config_of(text)["Labels"] == {
        "a": "",
        "b": "amd64",
        "c": "linux/amd64",
        "d": "linux/amd64",
        "e": "linux",
        "f": "x",
        "g": "default",
    }


@pytest.mark.parametrize(
    ("text", "config"),
    [
        ("ENV a=1 b=$a\nENV c=$a\nENV d $a   e", {"Env": ["a=1", "b=", "c=1", "d=1   e"]}),
        (
            "ENV P='80 81/UDP'\nEXPOSE $P 90-92 1.2.3.4:70:71",
            {
                "Env": ["P=80 81/UDP"],
                "ExposedPorts": {
                    f"{each}": {}
                    for each in ("71/tcp", "80/tcp", "81/udp", "90/tcp", "91/tcp", "92/tcp")
                },
            },
        ),
        (
            'VOLUME /a$A /b\nVOLUME ["/c d", "/e"]',
            {"Volumes": {"/a": {}, "/b": {}, "/c d": {}, "/e": {}}},
        ),
        (
            (
                "ENV A=/x\nWORKDIR $A\nWORKDIR y/../z\nUSER $A:b\nSTOPSIGNAL 9\n"
                'SHELL ["/bin/bash","-c"]\nCMD foo $A\nENTRYPOINT ["a"]'
            ),
            {
                "Env": ["A=/x"],
                "WorkingDir": "/x/z",
                "User": "/x:b",
                "StopSignal": "9",
                "Shell": ["/bin/bash", "-c"],
                "Cmd": ["/bin/bash", "-c", "foo $A"],
                "Entrypoint": ["a"],
            },
        ),
        (
            "ONBUILD RUN  foo $A  \nonbuild copy a b",
            {"OnBuild": ["RUN  foo $A  ", "copy a b"]},
        ),
        (
            'ENV a="x\'y" b=\'x"y\' c=x\\ y d="a\\\\b" e="a\\\\\\\\b" f=\'a\\b\' g="\\"" h=\\"',
            {
                "Env": [
                    "a=x'y",
                    'b=x"y',
                    "c=x y",
                    "d=a\\b",
                    "e=a\\\\b",
                    "f=a\\b",
                    'g="',
                    'h="',
                ]
            },
        ),
    ],
)
def test_config_of_instructions_with_variables(text, config):
    assert config_of(f"FROM scratch\n{text}\n") == config


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("FROM $nothing", "base name ($nothing) should not be blank"),
        ("FROM --platform=$X scratch", "empty platform value from expression $X"),
        (
            "FROM --platform=$BULDPLATFORM scratch",
            "empty platform value from expression $BULDPLATFORM (did you mean BUILDPLATFORM?)",
        ),
        ("ARG a=${b:?needed}\nFROM scratch", 'failed to process "${b:?needed}": b: needed'),
    ],
)
def test_from_without_a_value_is_refused(text, message):
    with pytest.raises(DockerfileError) as caught:
        config_of(text)
    assert (caught.value.message, caught.value.line) == (message, 1)


def test_proxies_are_for_run_in_both_cases():
    assert proxy_variables({"HTTP_PROXY": "a", "no_proxy": "b", "other": "c"}) == {
        "HTTP_PROXY": "a",
        "http_proxy": "a",
        "NO_PROXY": "b",
        "no_proxy": "b",
    }
