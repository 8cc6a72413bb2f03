"""Whatever a RUN does and whatever changes below it: found by what it read, it leaves the files that it leaves
when it is executed."""

from __future__ import annotations

import random
import shutil

import pytest

from tests.support.archives import members

pytestmark = [pytest.mark.needs("userns", "fuse", "busybox"), pytest.mark.slow]

STEPS = 14
NAMES = ["a", "b", "d", "d/a", "d/b", "d/e", "d/e/a"]

READING = [
    "cat {p}",
    "cat {p}",
    "ls -A d",
    "test -e {p} && echo found {p}",
    "ls -A {p}",
    "find {p} | sort",
    "stat -c '%a %u %g %F' {p}",
    "test -d {p} || stat -c '%s %h' {p}",
    "readlink {p}",
    "test {p} -ef {q} && echo same",
    "wc -c {p}",
]
WRITING = [
    "cat {p} > {q}",
    "echo {n} > {p}",
    "echo {n} >> {p}",
    ": > {p}",
    "rm -rf {p}",
    "rm {p}",
    "rmdir {p}",
    "mkdir -p {p}",
    "mkdir {p}",
    "mv {p} {q}",
    "mv -T {p} {q}",
    "ln {p} {q}",
    "ln -s {p} {q}",
    "cp -a {p} {q}",
    "chmod {m} {p}",
    "touch {p}",
    "chmod -R go-w {p}",
    "chown 3:4 {p}",
    "truncate -s 3 {p}",
    "rm -rf {p} && mkdir {p}",
]


def command(choices: random.Random, kinds: list[str]) -> str:
    return choices.choice(kinds).format(
        p=choices.choice(NAMES),
        q=choices.choice(NAMES),
        n=choices.randrange(1000),
        m=choices.choice(["600", "644", "755", "4711"]),
    )


def script(choices: random.Random, lines: int) -> str:
    """Commands of which each tells on the output whether it succeeded."""
    made = [command(choices, READING if choices.random() < 0.5 else WRITING) for _ in range(lines)]
    return "; ".join(f"{line} || echo failed" for line in made)


class Step:
    """Files in a directory of its own, commands that change them in an earlier step, and the commands to be found
    again."""

    def __init__(self, choices: random.Random, number: int) -> None:
        self.random = choices
        self.number = number
        self.files = {name: self._content() for name in NAMES if choices.random() < 0.6}
        self.before = script(choices, choices.randrange(4))
        self.text = script(choices, choices.randrange(1, 4))

    def _content(self) -> str:
        return self.random.choice(["one", "two", "six", "ten", "three"])

    def change(self) -> None:
        """Change little, so that often nothing that was read has changed."""
        choices = self.random
        what = choices.random()
        name = choices.choice(NAMES)
        if what < 0.6:
            self.files[name] = self._content()
        elif what < 0.75:
            self.files.pop(name, None)
        elif what < 0.9:
            self.before += f"; {command(choices, WRITING)}"

    def write(self, context) -> None:
        top = context / f"w{self.number}"
        top.mkdir(parents=True)
        for name, content in sorted(self.files.items()):
            path = top / name
            if any(each.startswith(f"{name}/") for each in self.files):
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        (context / f"before{self.number}").write_text(self.before)


def dockerfile(steps: list[Step]) -> str:
    """One RUN that prepares all of them, and one for each."""
    lines = ["FROM base:1", "COPY . /"]
    prepare = " && ".join(
        f"(cd /w{n} && sh /before{n} > /dev/null 2>&1; true)" for n in range(STEPS)
    )
    lines.append(f"RUN {prepare}")
    lines += [f"RUN cd /w{n} && ({steps[n].text}) > /out{n} 2>&1; true" for n in range(STEPS)]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("seed", range(4))
def test_a_step_found_by_its_reads_leaves_what_it_leaves_when_executed(builds, tmp_path, seed):
    choices = random.Random(seed)
    steps = [Step(choices, number) for number in range(STEPS)]
    reused = 0
    for turn in range(3):
        shutil.rmtree(builds.directory, ignore_errors=True)
        for step in steps:
            step.write(builds.directory)
        text = dockerfile(steps)
        found, executed = (tmp_path / f"{name}{turn}.tar" for name in ("found", "executed"))
        shown = builds.ok(text, "--cache", "reads", "--explain", "-o", f"type=tar,dest={found}")
        reused += shown.count("nothing that it read has changed")
        builds.ok(text, "--no-cache", "-o", f"type=tar,dest={executed}")
        assert members(found) == members(executed), text
        for step in steps:
            step.change()
    assert reused > STEPS / 2
