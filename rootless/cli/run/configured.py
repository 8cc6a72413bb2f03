"""Merges the defaults of rootless.toml for new containers with the options that were typed. Imported only where there
is such a file.
"""

from __future__ import annotations

import os

from rootless.cli.flags.environment import parse_variables
from rootless.cli.flags.security import parse_chown
from rootless.cli.flags.volume import parse_volume
from rootless.errors import UsageError
from rootless.network.default import VARIABLE as NETWORK_VARIABLE
from rootless.spec.options import Bind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from rootless.configuration.values import Configuration
    from rootless.runtime.extensions import ChownMode
    from rootless.spec.options import ContainerOptions, UserMount, Variables


def with_configuration(
    options: ContainerOptions, configuration: Configuration, environ: Mapping[str, str]
) -> ContainerOptions:
    """The options, with the defaults of the configuration where nothing else was typed. Raises UsageError for one that the
    site has locked."""
    return options._replace(
        variables=(*_variables(options, configuration, environ), *options.variables),
        mounts=(*_binds(options, configuration), *options.mounts),
        network=options.network._replace(name=_network(options, configuration, environ)),
        security=options.security._replace(chown=_chown(options, configuration)),
    )


def _chown(options: ContainerOptions, configuration: Configuration) -> ChownMode | None:
    asked = options.security.chown
    text = configuration.chown_for(asked.value if asked is not None else "")
    return parse_chown(text, "chown") if text else None


def _network(
    options: ContainerOptions, configuration: Configuration, environ: Mapping[str, str]
) -> str:
    asked = options.network.name or environ.get(NETWORK_VARIABLE, "")
    if "network" in configuration.locked and asked not in {"", configuration.network}:
        where = f"--network {asked}" if options.network.name else f"{NETWORK_VARIABLE}={asked}"
        configuration.require_unlocked("network", where)
    return options.network.name or ("" if asked else configuration.network)


def _variables(
    options: ContainerOptions, configuration: Configuration, environ: Mapping[str, str]
) -> Variables:
    given = parse_variables(configuration.environment, (), environ, _no_file)
    found = tuple((name, value) for name, value in given if value is not None)
    if "environment" in configuration.locked:
        known = dict(found)
        for name, value in options.variables:
            if name in known and value != known[name]:
                configuration.require_unlocked(
                    "environment", f"another value of the variable {name}"
                )
    return found


def _binds(options: ContainerOptions, configuration: Configuration) -> tuple[UserMount, ...]:
    """Those whose source this machine has and whose target was not given another one."""
    typed = {mount.target for mount in options.mounts}
    found = {}
    for text in configuration.binds:
        bind = _bind(text, configuration)
        if bind.target in typed:
            if "binds" in configuration.locked:
                configuration.require_unlocked("binds", f"a mount on {bind.target}")
        elif os.path.exists(bind.source):
            found[bind.target] = bind
    return tuple(found.values())


def _bind(text: str, configuration: Configuration) -> Bind:
    where = " or ".join(configuration.files["binds"])
    try:
        mount = parse_volume(text if ":" in text else f"{text}:{text}", os.getcwd)
    except UsageError as error:
        raise UsageError(f"{where}: binds: {error.message}") from None
    if not isinstance(mount, Bind):
        raise UsageError(f"{where}: binds: {text!r} is not a directory of the host")
    return mount._replace(create=False)


def _no_file(path: str) -> str:
    raise UsageError(f"{path} is not read")
