"""--nv and --rocm: the GPUs of the host, by CDI specifications, or else by the cache of ldconfig."""

from __future__ import annotations

import glob
import os
import sys

from rootless.cli.hpc.host_gpus import HostGpus
from rootless.errors import InvalidDocumentError
from rootless.spec.options import Bind, Tmpfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rootless.hpc.gpu_files import GpuVendor
    from rootless.spec.options import UserMount

LIBRARIES = "/.singularity.d/libs"
"""Where the libraries are in the container, as with Apptainer."""
_CACHE_VARIABLE = "ROOTLESS_LD_CACHE"
"""Names another file than /etc/ld.so.cache, as ldconfig -C does."""


def find_gpus(
    vendors: Sequence[GpuVendor],
    environ: Mapping[str, str],
    directories: Sequence[str],
    *,
    with_nodes: bool,
) -> HostGpus:
    """`directories` are those of CDI specifications, by default the system's. `with_nodes`: the device nodes are not in
    the container yet. A vendor without anything here is a warning, as with Apptainer.
    """
    from rootless.cdi.files import DEFAULT_DIRECTORIES, read_spec_files
    from rootless.cdi.resolver import device_names

    known = device_names(read_spec_files(directories or DEFAULT_DIRECTORIES))
    devices = tuple(each.cdi_device for each in vendors if each.cdi_device in known)
    files: list[UserMount] = []
    libraries: dict[str, str] = {}
    cache: Mapping[str, str] | None = None
    for vendor in vendors:
        if vendor.cdi_device in devices:
            continue
        if cache is None:
            cache = _read_cache(environ)
        from rootless.hpc.gpu_files import libraries_of

        found = libraries_of(vendor, cache)
        programs = _programs(vendor, environ)
        nodes = [path for pattern in vendor.nodes for path in sorted(glob.glob(pattern))]
        if not found and not programs:
            print(f"rootless: no {vendor.name} libraries were found on this host", file=sys.stderr)
        libraries |= found
        files += [Bind(path, path, read_only=True) for path in programs]
        if with_nodes:
            files += [Bind(path, path) for path in nodes]
    if not libraries:
        return HostGpus(tuple(files), devices)
    binds = [Bind(path, f"{LIBRARIES}/{name}", read_only=True) for name, path in libraries.items()]
    directory = Tmpfs(LIBRARIES, ("exec", "mode=755"))
    return HostGpus((*files, directory, *binds), devices, LIBRARIES)


def _read_cache(environ: Mapping[str, str]) -> Mapping[str, str]:
    """The libraries that exist; none where there is no cache, as on systems without glibc."""
    from rootless.hpc.ld_cache import parse_ld_cache

    path = environ.get(_CACHE_VARIABLE) or "/etc/ld.so.cache"
    try:
        with open(path, "rb") as file:
            found = parse_ld_cache(file.read(), os.uname().machine)
    except (OSError, InvalidDocumentError) as error:
        print(f"rootless: {path} cannot be read: {error}", file=sys.stderr)
        return {}
    return {name: place for name, place in found.items() if os.path.exists(place)}


def _programs(vendor: GpuVendor, environ: Mapping[str, str]) -> list[str]:
    directories = [each for each in environ.get("PATH", "").split(":") if each.startswith("/")]
    found = []
    for name in vendor.programs:
        paths = (f"{directory}/{name}" for directory in directories)
        if (path := next((each for each in paths if os.access(each, os.X_OK)), None)) is not None:
            found.append(path)
    return found
