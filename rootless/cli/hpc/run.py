"""`hpc run`, `hpc exec` and `hpc shell`: the engine with the defaults that users of clusters know from Apptainer."""

from __future__ import annotations

import os
import sys

from rootless import module_packs
from rootless.cli.context import Settings, current_directory, engine_of, new_containers
from rootless.cli.grammar import Command, Flag, Parsed, Texts, spelling
from rootless.cli.hpc import options as rows
from rootless.containers.storage_paths import read_configuration
from rootless.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from rootless.cli.grammar import Value
    from rootless.engine import Engine
    from rootless.images.transfer.progress import Progress
    from rootless.rootfs.lower import Lower
    from rootless.spec.options import ContainerOptions


def run(parsed: Parsed, settings: Settings) -> int:
    """Execute the image's run script, or its entry point and command."""
    return _become(parsed, settings, "run")


def execute(parsed: Parsed, settings: Settings) -> int:
    """Execute a command in the image."""
    return _become(parsed, settings, "exec")


def shell(parsed: Parsed, settings: Settings) -> int:
    """Execute a shell in the image."""
    return _become(parsed, settings, "shell")


def test(parsed: Parsed, settings: Settings) -> int:
    """Execute the test of the image."""
    return _become(parsed, settings, "test")


def _become(parsed: Parsed, settings: Settings, action: str) -> int:
    """Replace this process by the container's; returns the status where that cannot be."""
    # What prints an error, which cannot be imported once the root has been entered.
    from rootless.cli import escape  # noqa: F401
    from rootless.cli.hpc.container import container_of
    from rootless.hpc.names import parse_source

    parsed, claim = with_variables(parsed, os.environ), settings.claim
    image, *words = parsed.arguments
    source = parse_source(image, os.path.exists)
    if source.archive:
        source = source._replace(name=loaded(engine_of(settings), source.archive), archive="")
    asked = container_of(
        parsed, action, source, tuple(words), environ=os.environ, getcwd=current_directory
    )

    def adapt(options: ContainerOptions, lower: Lower) -> ContainerOptions:
        from rootless.cli.hpc.image import with_command

        return with_command(options, lower, asked.action)

    progress = None if parsed[rows.QUIET] else _pull_progress
    configuration = read_configuration(os.environ)
    options = asked.options
    if configuration is not None:
        from rootless.cli.run.configured import with_configuration

        if parsed[rows.CONTAIN] or parsed[rows.CONTAINALL] or parsed[rows.COMPAT]:
            configuration = configuration._replace(binds=())
        if "network" in configuration.locked and not (parsed[rows.NET] or parsed[rows.NETWORK]):
            options = options._replace(network=options.network._replace(name=""))
        options = with_configuration(options, configuration, os.environ)
        if parsed[rows.SHARENS] and configuration.join == "never":
            configuration.require_unlocked("join", "--sharens")
    containers = new_containers(settings, configuration)
    if parsed[rows.SHARENS]:
        if "rootless.ranks.recipe" not in sys.modules:
            module_packs.load(module_packs.RANK)  # a variable asks for it, not the command line
        module_packs.load(module_packs.HPC_JOIN)
        from rootless.cli.hpc.sharing import begin_recipe, rank_of, shared_options

        shared = shared_options(options, asked.action, is_file=bool(source.path))
        rank = rank_of(os.environ, is_first=claim is not None)
        if claim is not None:
            begin_recipe(claim, shared, rank, containers.paths, parsed[rows.ENV_FILE])
        return containers.run_joined(shared, rank, progress=progress, claim=claim)
    if claim is not None:
        claim.release()  # --sharens is a word of the command
    return containers.run_in_place(options, progress=progress, adapt=adapt)


def _pull_progress() -> Progress:
    from rootless.cli.progress import progress_on

    return progress_on(sys.stderr)


def with_variables(parsed: Parsed, environ: Mapping[str, str]) -> Parsed:
    """With the options that APPTAINER_NAME and SINGULARITY_NAME give and that were not typed. Lists are joined.

    Raises UsageError.
    """
    from rootless.hpc.environment import option_variable

    values: dict[str, Value] = dict(parsed.values)
    for option, names in rows.VARIABLES.items():
        text = option_variable(environ, *names)
        if text is None or option.long not in values:
            continue
        given = values[option.long]
        if isinstance(option, Texts):
            values[option.long] = (
                *(given if isinstance(given, tuple) else ()),
                *filter(None, [text]),
            )
        elif isinstance(option, Flag):
            values[option.long] = bool(given) or _truth(option, text)
        elif given is None:
            values[option.long] = text
    return Parsed(values, parsed.arguments)


def _truth(option: Flag, text: str) -> bool:
    if text.lower() in {"1", "t", "true", "y", "yes", "on"}:
        return True
    if text.lower() in {"", "0", "f", "false", "n", "no", "off"}:
        return False
    raise UsageError(f"invalid value {text!r} of the variable for {spelling(option)}")


def loaded(engine: Engine, archive: str) -> str:
    """Load an archive or a layout in a child process, which may have threads; returns the image's id."""
    from pathlib import Path

    from rootless.run_in_child import run_in_child

    def load() -> str:
        return str(engine.load(Path(archive))[0].id)

    # DIR:TAG and FILE:TAG of skopeo.
    if not os.path.exists(archive) and os.path.exists(archive.rpartition(":")[0]):
        archive = archive.rpartition(":")[0]
    if not os.path.exists(archive):
        raise UsageError(f"{archive} does not exist")
    result: str = run_in_child(load)
    return result


_DESCRIPTION = """IMAGE is the name of an image, as of docker pull; a file: SIF, squashfs, or an archive as docker-archive:FILE,
oci-archive:FILE or oci:DIR; or a directory.

The command has the caller's user, environment, network, processes, home directory, working directory, /tmp and devices.
It is executed in the place of this process, without any other in between. The image is read-only.
"""

RUN = Command(
    "run",
    "Run the user-defined default command of an image",
    "IMAGE [ARG...]",
    rows.RUN_OPTIONS,
    run,
    least=1,
    interspersed=False,
    operand="image",
    description=f"Run the run script of an image, or its entry point and command.\n\n{_DESCRIPTION}",
)
EXEC = Command(
    "exec",
    "Run a command in an image",
    "IMAGE COMMAND [ARG...]",
    rows.RUN_OPTIONS,
    execute,
    least=2,
    interspersed=False,
    operand="image",
    description=f"Run a command in an image.\n\n{_DESCRIPTION}",
)
SHELL = Command(
    "shell",
    "Run a shell in an image",
    "IMAGE",
    rows.SHELL_OPTIONS,
    shell,
    least=1,
    interspersed=False,
    operand="image",
    description=f"Run a shell in an image.\n\n{_DESCRIPTION}",
)
TEST = Command(
    "test",
    "Run the test of an image",
    "IMAGE [ARG...]",
    rows.RUN_OPTIONS,
    test,
    least=1,
    interspersed=False,
    operand="image",
    description=f"Run the test that an image or one of its apps has.\n\n{_DESCRIPTION}",
)
