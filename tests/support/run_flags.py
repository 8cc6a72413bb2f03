"""The options of a container from `run`'s flags, written as keyword arguments."""

from __future__ import annotations

from collections.abc import Mapping

from rootless.cli.grammar import parse
from rootless.cli.run.command import RUN
from rootless.cli.run.values import options_of
from rootless.spec.options import ContainerOptions


def flags_to_options(
    *,
    command: tuple[str, ...] = (),
    environ: Mapping[str, str] | None = None,
    cwd: str = "/",
    **flags: object,
) -> ContainerOptions:
    """What the command line makes of them: `volume=("/a:/b",)` is `--volume=/a:/b`, `tty=True` is
    `--tty=true`; the image is called `image`.
    """
    words = []
    for name, value in flags.items():
        spelled = f"--{name.replace('_', '-')}"
        if isinstance(value, tuple):
            words += [f"{spelled}={each}" for each in value]
        elif isinstance(value, bool):
            words.append(f"{spelled}={str(value).lower()}")
        elif value is not None:
            words.append(f"{spelled}={value}")
    parsed = parse(RUN, [*words, "image", *command], "rootless run")
    return options_of(parsed, environ or {}, lambda: cwd)
