"""The mounts of a container in `inspect`, under docker's names (api/types/mount): `Mounts`, and `Binds`, `Mounts` and
`Tmpfs` of HostConfig. Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rootless.spec.options import Bind, ContainerOptions, ImageMount, Tmpfs, UserMount, Volume


def mount_points(
    options: ContainerOptions, mountpoint: Callable[[str], str]
) -> list[dict[str, Any]]:
    """`Mounts`: all but the tmpfs of --tmpfs, which are in HostConfig.Tmpfs alone. `mountpoint` gives
    the directory of a volume by its name.
    """
    return [
        _mount_point(each, mountpoint)
        for each in options.mounts
        if not isinstance(each, Tmpfs) or each.by_mount
    ]


def mount_settings(options: ContainerOptions) -> dict[str, Any]:
    """The fields of HostConfig that are about mounts."""
    asked = [each for each in options.mounts if isinstance(each, Tmpfs) or not each.inherited]
    mounts = [_specification(each) for each in asked if _is_long(each)]
    tmpfs = {
        each.target: ",".join(each.options)
        for each in asked
        if isinstance(each, Tmpfs) and not each.by_mount
    }
    return {
        "Binds": [_bind(each) for each in asked if not _is_long(each) and _has_bind(each)] or None,
        "VolumesFrom": [
            ":".join(filter(None, (each.container, each.mode))) for each in options.volumes_from
        ]
        or None,
        **({"Tmpfs": tmpfs} if tmpfs else {}),
        **({"Mounts": mounts} if mounts else {}),
    }


def mode_of(mount: Bind) -> str:
    """The words after the second colon of -v."""
    words = ["ro"] if mount.read_only else []
    words += [mount.propagation] if mount.propagation != "rprivate" else []
    words += [] if mount.recursive else ["bind"]
    podmans = (("O", mount.overlay), ("U", mount.chown), ("idmap", mount.idmap))
    words += [word for word, given in podmans if given]
    return ",".join((*words, *mount.flags))


def _has_bind(mount: UserMount) -> bool:
    """An anonymous volume of -v is no bind of docker's, but one of Config.Volumes."""
    return isinstance(mount, Bind) or (isinstance(mount, Volume) and not mount.is_anonymous)


def _is_long(mount: UserMount) -> bool:
    if isinstance(mount, ImageMount):
        return True
    return mount.by_mount if isinstance(mount, Tmpfs | Volume) else not mount.create


def _bind(mount: UserMount) -> str:
    if isinstance(mount, Bind):
        parts = (mount.source, mount.target, mode_of(mount))
    elif isinstance(mount, Volume):
        parts = (mount.name, mount.target, mount.mode)
    else:
        raise TypeError(mount)
    return ":".join(filter(None, parts))


def _mount_point(mount: UserMount, mountpoint: Callable[[str], str]) -> dict[str, Any]:
    if isinstance(mount, Tmpfs):
        return {
            "Type": "tmpfs",
            "Source": "",
            "Destination": mount.target,
            "Mode": "",
            "RW": "ro" not in mount.options,
            "Propagation": "",
        }
    if isinstance(mount, ImageMount):
        return {
            "Type": "image",
            "Name": mount.image,
            "Source": mount.image_id,
            "Destination": mount.target,
            "Mode": "",
            "RW": False,
            "Propagation": "rprivate",
        }
    if isinstance(mount, Volume):
        return {
            "Type": "volume",
            "Name": mount.name,
            "Source": mountpoint(mount.name),
            "Destination": mount.target,
            "Driver": "local",
            "Mode": _shown_mode(mount),
            "RW": not mount.read_only,
            "Propagation": "",
        }
    return {
        "Type": "bind",
        "Source": mount.source,
        "Destination": mount.target,
        "Mode": mode_of(mount) if mount.create and not mount.inherited else "",
        "RW": not mount.read_only,
        "Propagation": mount.propagation,
    }


def _shown_mode(mount: Volume) -> str:
    """The words of -v; docker shows `z` for a volume that was asked for by name without any."""
    if mount.inherited:
        return ""
    return mount.mode or ("z" if mount.by_mount or not mount.is_anonymous else "")


def _specification(mount: UserMount) -> dict[str, Any]:
    """An entry of HostConfig.Mounts."""
    if isinstance(mount, Tmpfs):
        return _tmpfs_specification(mount)
    if isinstance(mount, ImageMount):
        options = {"ImageOptions": {"Subpath": mount.subpath}} if mount.subpath else {}
        return {"Type": "image", "Source": mount.image, "Target": mount.target, **options}
    if isinstance(mount, Volume):
        return _volume_specification(mount)
    bind: dict[str, Any] = {}
    if mount.propagation != "rprivate":
        bind["Propagation"] = mount.propagation
    if not mount.recursive:
        bind["NonRecursive"] = True
    if mount.read_only and not mount.read_only_below:
        bind["ReadOnlyNonRecursive"] = True
    return {
        "Type": "bind",
        "Source": mount.source,
        "Target": mount.target,
        **({"ReadOnly": True} if mount.read_only else {}),
        **({"BindOptions": bind} if bind else {}),
    }


def _tmpfs_specification(mount: Tmpfs) -> dict[str, Any]:
    given = dict(each.partition("=")[::2] for each in mount.options)
    tmpfs: dict[str, Any] = {"SizeBytes": int(given["size"])} if "size" in given else {}
    tmpfs |= {"Mode": int(given["mode"], 8)} if "mode" in given else {}
    return {
        "Type": "tmpfs",
        "Target": mount.target,
        **({"ReadOnly": True} if "ro" in given else {}),
        **({"TmpfsOptions": tmpfs} if tmpfs else {}),
    }


def _volume_specification(mount: Volume) -> dict[str, Any]:
    volume: dict[str, Any] = {}
    if mount.nocopy:
        volume["NoCopy"] = True
    if mount.labels:
        volume["Labels"] = dict(sorted(mount.labels.items()))
    if mount.subpath:
        volume["Subpath"] = mount.subpath
    if mount.labels or mount.driver_options:
        options = (
            {"Options": dict(sorted(mount.driver_options.items()))} if mount.driver_options else {}
        )
        volume["DriverConfig"] = options
    return {
        "Type": "volume",
        **({} if mount.is_anonymous else {"Source": mount.name}),
        "Target": mount.target,
        **({"ReadOnly": True} if mount.read_only else {}),
        **({"VolumeOptions": volume} if volume else {}),
    }
