"""History texts. Each is the one that `docker build` of Docker 28.5 wrote."""

import pytest

from rootless.build.history import history_text
from rootless.build.state import StageState
from rootless.dockerfile.errors import DockerfileError
from rootless.dockerfile.syntax.parser import parse


@pytest.mark.parametrize(
    ("instruction", "text"),
    [
        ("ENV a=1 b=c", "ENV a=1 b=c"),
        ("LABEL c d", "LABEL c=d"),
        ('CMD run "$a"', 'CMD ["/bin/sh" "-c" "run \\"$a\\""]'),
        ('ENTRYPOINT ["e", "f\\"g"]', 'ENTRYPOINT ["e" "f\\"g"]'),
        ("EXPOSE 90-91/udp 80", "EXPOSE [80/tcp 90/udp 91/udp]"),
        ('VOLUME ["/v w", "/x"]', "VOLUME [/v w /x]"),
        ("USER u:g", "USER u:g"),
        ("STOPSIGNAL 9", "STOPSIGNAL 9"),
        ('SHELL ["/bin/bash", "-c"]', "SHELL [/bin/bash -c]"),
        ("MAINTAINER me", "MAINTAINER me"),
        ("ONBUILD RUN x", ""),
        (
            'HEALTHCHECK --interval=1m30s --retries=3 CMD z "q"',
            'HEALTHCHECK &{["CMD-SHELL" "z \\"q\\""] "1m30s" "0s" "0s" "0s" \'\\x03\'}',
        ),
    ],
)
def test_instruction_is_noted(instruction, text):
    (made,) = parse(f"FROM scratch\n{instruction}\n").stages[0].instructions
    assert history_text(made, ("/bin/sh", "-c")) == text


def applied(*instructions):
    state = StageState({}, {"Cmd": ["old"]}, (), (), "")
    for instruction in parse("FROM scratch\n" + "\n".join(instructions)).stages[0].instructions:
        state.apply(instruction, "")
    return state


def test_state_has_the_config_of_its_instructions():
    state = applied(
        'SHELL ["/bin/bash", "-c"]', 'ENTRYPOINT ["e"]', "ENV a=1", "CMD x", "MAINTAINER me"
    )
    path = state.scope.variables["PATH"]
    assert state.config == {
        "Env": [f"PATH={path}", "a=1"],
        "Shell": ["/bin/bash", "-c"],
        "Entrypoint": ["e"],
        "Cmd": ["/bin/bash", "-c", "x"],
        "ArgsEscaped": True,
    }
    assert state.document == {"author": "me"}
    assert state.scope.variables["a"] == "1"
    assert len(state.history) == 5


def test_entrypoint_removes_the_command_of_the_base():
    assert "Cmd" not in applied('ENTRYPOINT ["e"]').config
    assert applied('CMD ["c"]', 'ENTRYPOINT ["e"]').config["Cmd"] == ["c"]


@pytest.mark.parametrize(
    ("instruction", "message"),
    [
        ("STOPSIGNAL NOPE", "invalid signal: NOPE"),
        ("EXPOSE x", "invalid containerPort: x"),
    ],
)
def test_instruction_without_meaning_is_refused(instruction, message):
    with pytest.raises(DockerfileError) as caught:
        applied(instruction)
    assert (caught.value.message, caught.value.line) == (message, 2)
