"""What is executed in an image with the scripts of Apptainer, and in one without."""

import subprocess

import pytest

from rootless.hpc.image_scripts import Action, ImageFacts, arguments_of, variables_of

PLAIN = ImageFacts(False, False, ("/entry", "cmd"))
SCRIPTS = ImageFacts(True, True)


def test_without_scripts_no_shell_is_needed():
    assert arguments_of(Action("exec", ("ls", "-l")), PLAIN) == ("ls", "-l")
    assert arguments_of(Action("run"), PLAIN) == ("/entry", "cmd")
    assert arguments_of(Action("run"), ImageFacts(False, False)) == ("/bin/sh",)


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (Action("run", ("a", "b")), ("/.singularity.d/runscript", "a", "b")),
        (Action("exec", ("ls",)), ("ls",)),
        (Action("run", ("a",), app="foo"), ("/scif/apps/foo/scif/runscript", "a")),
        (Action("shell", shell="/bin/zsh"), ("/bin/zsh",)),
    ],
)
def test_scripts_are_read_by_a_shell_of_the_image(action, words):
    found = arguments_of(action, SCRIPTS)
    assert found[:2] == ("/bin/sh", "-c")
    assert "/.singularity.d/env/*.sh" in found[2]
    assert found[4:] == words


def test_variables_that_were_given_win_over_scripts():
    """And are one word whatever is in them."""
    action = Action(
        "exec",
        ("sh", "-c", 'printf "%s|%s|%s" "$A" "$PATH" "$LD_LIBRARY_PATH"'),
        set={"A": "it's $HOME"},
        before="/first",
        after="/last",
        libraries="/libs",
    )
    done = subprocess.run(
        arguments_of(action, ImageFacts(True, False)),
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": "/bin"},
    )
    path = "/first:/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/last"
    assert done.stdout == f"it's $HOME|{path}|/libs"


def test_the_callers_variables_are_there_after_the_scripts():
    """Whatever is in them, and not where the image has set the name."""
    others = {"PATH_OF_X": "a b", "name": "n", "directory": "d", "odd-name": "1", "größe": "2"}
    passed = {"A": 'it\'s $HOME `x` "q"', "IN_IMAGE": "caller", **others}
    action = Action("exec", ("env",), passed=passed)
    facts = ImageFacts(True, False)
    done = subprocess.run(
        arguments_of(action, facts),
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": "/bin", "IN_IMAGE": "image", **variables_of(action, facts)},
    )
    shown = dict(line.split("=", 1) for line in done.stdout.splitlines())
    assert shown["A"] == passed["A"]
    assert (shown["PATH_OF_X"], shown["IN_IMAGE"]) == ("a b", "image")
    assert (shown["name"], shown["directory"]) == ("n", "d")
    assert not [name for name in shown if name.startswith("ROOTLESS_")]


def test_variables_of_an_image_win_over_the_callers():
    facts = ImageFacts(False, False, (), {"A": "image", "PATH": "/opt:/bin"})
    assert variables_of(Action("exec", passed={"A": "caller", "B": "caller"}), facts) == {
        "B": "caller",
        "PATH": "/opt:/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin",
    }
