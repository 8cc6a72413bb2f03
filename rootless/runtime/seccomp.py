"""Compiles the spec's `linux.seccomp` to programs for the kernel, once, and keeps them on disk.

A file of the cache holds all that went into a program (the rules, the machine), the file of
libseccomp with its size and time, the program, and a checksum. Its name is only a hint: what counts
is that the contents are the same, byte for byte, and that the library is still that file: to load it
takes a start more than the rest of this. A file is replaced whole (write, rename) and not synced: a torn one fails
its checksum, and a lost one is made again. (crc32 and not hashlib, which loads OpenSSL.)
"""

from __future__ import annotations

import os
import struct
import zlib

from rootless.errors import HostSupportError, InvalidDocumentError
from rootless.light_json import dumps
from rootless.light_stdlib import read_file
from rootless.runtime import extensions
from rootless.runtime.execution import Filters
from rootless.runtime.extensions import RECORD_IF_POSSIBLE, ChownMode
from rootless.runtime.seccomp_rules import NOTIFY, notifying_profile, pretending_profile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_MAGIC = b"rlbpf2\n\0"
_HEADER = struct.Struct("=8sIIII")
"""Magic; lengths of the material, of what is known of the library, and of the program; crc32 of the three."""


def filters_of(spec: Mapping[str, Any], cache: str | None) -> Filters:
    """The seccomp filters of a container.

    With more than one program the kernel takes the strictest answer: an ERRNO of the pretending one beats
    the other's ALLOW and a notification, and among two ERRNO the one loaded last counts.

    Raises:
        HostSupportError: libseccomp is missing, or too old for notifications that were asked for.
        InvalidDocumentError: a rule makes no sense.
    """
    profiles: list[Mapping[str, Any]] = []
    if profile := spec.get("linux", {}).get("seccomp"):
        _refuse_notify(profile)
        profiles.append(profile)
    annotations = spec.get("annotations", {})
    notifying = substitute = b""
    if annotations.get(extensions.PRETEND_OWNERSHIP) == "true":
        machine = os.uname().machine
        mode = annotations.get(extensions.CHOWN, ChownMode.PRETEND.value)
        if mode in {ChownMode.RECORD.value, RECORD_IF_POSSIBLE}:
            if mode == RECORD_IF_POSSIBLE:
                substitute = compiled(pretending_profile(machine, owners=True), cache)
            try:
                notifying = compiled(notifying_profile(machine), cache)
            except InvalidDocumentError as error:
                # libseccomp before 2.5 does not know the action.
                if not substitute:
                    raise HostSupportError(f"--chown=record: {error.message}") from error
                mode = ChownMode.PRETEND.value
        owners = mode == ChownMode.PRETEND.value
        profiles.append(pretending_profile(machine, owners=owners))
    programs = tuple(compiled(profile, cache) for profile in profiles)
    return Filters(programs, notifying, substitute)


def _refuse_notify(profile: Mapping[str, Any]) -> None:
    actions = [profile.get("defaultAction"), *(r["action"] for r in profile.get("syscalls") or ())]
    if NOTIFY in actions:
        raise InvalidDocumentError(f"the seccomp profile has {NOTIFY}, which is not supported")


def compiled(profile: Mapping[str, Any], cache: str | None) -> bytes:
    """The program of one profile, from the cache directory if it is there."""
    # Nodes of a cluster share the cache: those with another system have files of their own.
    _, _, release, _, machine = os.uname()
    material = dumps([profile, machine, release], sort_keys=True)
    path = None
    if cache is not None:
        path = f"{cache}/{zlib.crc32(material):08x}.bpf"
        if program := _read(path, material):
            return program
    from rootless.syscalls import libseccomp

    try:
        library = libseccomp.path()
    except OSError as error:
        raise HostSupportError(
            f"cannot load libseccomp: {error}",
            hint="install libseccomp2, or run without a seccomp profile",
        ) from error
    program = compile_profile(profile)
    if path is not None and library:
        _write(path, material, library, program)
    return program


def _read(path: str, material: bytes) -> bytes | None:
    try:
        data = read_file(path)
        if len(data) < _HEADER.size:
            return None
        magic, material_size, library_size, program_size, checksum = _HEADER.unpack_from(data)
        body = data[_HEADER.size :]
        of_program = material_size + library_size
        whole = magic == _MAGIC and len(body) == of_program + program_size
        if not whole or zlib.crc32(body) != checksum or body[:material_size] != material:
            return None
        known = body[material_size:of_program]
        if _state_of(os.fsdecode(known.partition(b"\0")[0])) != known:
            return None
    except OSError:
        return None
    return body[of_program:]


def _state_of(library: str) -> bytes:
    """What a file of the cache has of the library. Raises OSError."""
    found = os.stat(library)
    return b"%b\0%d\0%d" % (os.fsencode(library), found.st_size, found.st_mtime_ns)


def _write(path: str, material: bytes, library: str, program: bytes) -> None:
    """A cache that cannot be written costs time and nothing else."""
    temporary = f"{path}.{os.getpid()}"
    try:
        known = _state_of(library)
        body = material + known + program
        sizes = len(material), len(known), len(program)
        header = _HEADER.pack(_MAGIC, *sizes, zlib.crc32(body))
        os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(header + body)
        os.rename(temporary, path)
    except OSError:
        return


def compile_profile(profile: Mapping[str, Any]) -> bytes:
    """Compile the `linux.seccomp` object. Names that this libseccomp does not know are left to the
    default action.

    Raises:
        InvalidDocumentError: an action, operator or architecture does not exist, or a value is of the wrong type.
    """
    from rootless.syscalls.libseccomp import FilterCompiler

    try:
        default = _action(profile["defaultAction"], profile.get("defaultErrnoRet"))
        with FilterCompiler(default) as compiler:
            for name in profile.get("architectures") or ():
                compiler.add_architecture(str(name).removeprefix("SCMP_ARCH_").lower())
            for rule in profile.get("syscalls") or ():
                action = _action(rule["action"], rule.get("errnoRet"))
                arguments = tuple(_argument(a) for a in rule.get("args") or ())
                for name in rule["names"]:
                    compiler.add_rule(action, name, arguments)
            return compiler.program()
    except KeyError as error:
        raise InvalidDocumentError(
            f"the seccomp profile has a missing or unknown {error}"
        ) from error
    except (AttributeError, TypeError, ValueError, OverflowError) as error:
        raise InvalidDocumentError("the seccomp profile has a value of the wrong type") from error
    except OSError as error:
        raise InvalidDocumentError(
            f"the seccomp profile cannot be compiled: {error.filename}: {error.strerror}"
        ) from error


def _action(name: str, number: int | None) -> int:
    from rootless.syscalls.libseccomp import ACTIONS

    action = ACTIONS[name]
    if name in {"SCMP_ACT_ERRNO", "SCMP_ACT_TRACE"}:
        # The runtime spec: EPERM where errnoRet is not given.
        action |= 1 if number is None else number
    return action


def _argument(argument: Mapping[str, Any]) -> tuple[int, str, int, int]:
    operator = str(argument["op"]).removeprefix("SCMP_CMP_")
    value, second = int(argument["value"]), int(argument.get("valueTwo", 0))
    if not (0 <= value < 1 << 64 and 0 <= second < 1 << 64):
        raise ValueError(argument)
    return int(argument["index"]), operator, value, second
