"""`info`, `version` and `doctor`: the engine about itself and about the machine."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rootless.cli.context import Settings, engine_of
from rootless.cli.formats import print_document
from rootless.cli.grammar import Command, Parsed
from rootless.cli.shared_options import FORMAT, LONG_FORMAT
from rootless.oci.platform import host_platform
from rootless.version import __version__

if TYPE_CHECKING:
    from rootless.engine.doctor.findings import Finding

_MARKS = {"ok": "ok      ", "degraded": "degraded", "missing": "MISSING "}


def info(parsed: Parsed, settings: Settings) -> int:
    """Print what the engine is and stands on, as Docker does."""
    form = parsed[FORMAT]
    document = engine_of(settings).info()
    print_document(
        form,
        document,
        lambda: _info_text(document),
        kind="system.dockerInfo",
        unlisted=_podman_fields(document),
    )
    return 0


def _podman_fields(document: Mapping[str, Any]) -> dict[str, Any]:
    """What templates for podman's `info` ask for."""
    return {
        "Host": {
            "Arch": host_platform().architecture,
            "CgroupManager": document["CgroupDriver"],
            "CgroupVersion": f"v{document['CgroupVersion']}",
            "CgroupsVersion": f"v{document['CgroupVersion']}",
            "CPUs": document["NCPU"],
            "Hostname": document["Name"],
            "Kernel": document["KernelVersion"],
            "MemTotal": document["MemTotal"],
            "OCIRuntime": {"Name": "rootless", "Version": __version__},
            "OS": document["OSType"],
            "RemoteSocket": {"Exists": False, "Path": ""},
            "Security": {"Rootless": True, "SECCOMPEnabled": True, "SELinuxEnabled": False},
            "ServiceIsRemote": False,
        },
        "Store": {
            "ContainerStore": {
                "Number": document["Containers"],
                "Paused": document["ContainersPaused"],
                "Running": document["ContainersRunning"],
                "Stopped": document["ContainersStopped"],
            },
            "GraphDriverName": document["Driver"],
            "GraphRoot": document["RootlessRootDir"],
            "ImageStore": {"Number": document["Images"]},
            "RunRoot": document["RootlessRuntimeDir"],
        },
        "Version": {"Version": __version__, "Os": document["OSType"]},
    }


def _info_text(document: Mapping[str, Any]) -> str:
    memory = document["MemTotal"] / (1 << 30)
    lines = [
        "Client:",
        f" Version:    {document['ServerVersion']}",
        "",
        "Server: none, containers belong to the commands that run them",
        f" Containers: {document['Containers']}",
        f"  Running: {document['ContainersRunning']}",
        f"  Paused: {document['ContainersPaused']}",
        f"  Stopped: {document['ContainersStopped']}",
        f" Images: {document['Images']}",
        f" Storage Driver: {document['Driver']}",
        *(f"  {name}: {value}" for name, value in document["DriverStatus"]),
        f" Cgroup Driver: {document['CgroupDriver']}",
        f" Cgroup Version: {document['CgroupVersion']}",
        f" Cgroup Controllers: {' '.join(document['CgroupControllers']) or 'none'}",
        f" Kernel Version: {document['KernelVersion']}",
        f" Operating System: {document['OperatingSystem']}",
        f" OSType: {document['OSType']}",
        f" Architecture: {document['Architecture']}",
        f" CPUs: {document['NCPU']}",
        f" Total Memory: {memory:.4g}GiB",
        f" Name: {document['Name']}",
        f" Rootless Root Dir: {document['RootlessRootDir']}",
        f" Rootless Runtime Dir: {document['RootlessRuntimeDir']}",
        *(f" Image Store: {path}" for path in document["ImageStores"]),
        *_settings(document["Configuration"]),
    ]
    return "\n".join(lines)


def _settings(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """What rootless.toml sets, and in which file."""
    lines = []
    for each in settings:
        value = each["Value"] if isinstance(each["Value"], str) else " ".join(each["Value"])
        locked = ", locked" if each["Locked"] else ""
        lines.append(f"  {each['Key']}: {value} ({', '.join(each['Files'])}{locked})")
    return [" Configuration:", *lines] if lines else []


def version(parsed: Parsed, settings: Settings) -> int:  # noqa: ARG001 - a handler's signature
    """Print versions in Docker's layout. Client and server are one program, so both sides say the
    same; scripts read either."""
    side = {
        "Version": __version__,
        "ApiVersion": "",
        "PythonVersion": platform.python_version(),
        "KernelVersion": platform.release(),
        "Os": "linux",
        "Arch": host_platform().architecture,
    }
    lines = [
        "Client: Rootless",
        f" Version:           {side['Version']}",
        f" Python version:    {side['PythonVersion']}",
        f" Kernel version:    {side['KernelVersion']}",
        f" OS/Arch:           {side['Os']}/{side['Arch']}",
    ]
    form = parsed[FORMAT]
    print_document(
        form,
        {"Client": side, "Server": side},
        lambda: "\n".join(lines),
        kind="system.versionInfo",
    )
    return 0


def doctor(parsed: Parsed, settings: Settings) -> int:
    """Print what was found; the status is 1 when no container can run."""
    from rootless.engine.doctor.checks import can_run

    findings = engine_of(settings).examine()
    able = can_run(findings)
    document = {
        "CanRun": able,
        "Findings": [
            {**finding._asdict(), "verdict": finding.verdict.value} for finding in findings
        ],
    }
    verdict = "Containers can run here." if able else "No container can run here."
    form = parsed[LONG_FORMAT]
    print_document(
        form,
        document,
        lambda: "\n".join(
            [*(line for finding in findings for line in _lines(finding)), "", verdict]
        ),
    )
    return 0 if able else 1


def _lines(finding: Finding) -> list[str]:
    lines = [f"{_MARKS[finding.verdict.value]}  {finding.subject}: {finding.found}"]
    if finding.verdict.value != "ok":
        lines.append(f"            why:  {finding.why}")
        if finding.remedy:
            lines.append(f"            do:   {finding.remedy}")
    return lines


INFO = Command("info", "Display system-wide information", "", (FORMAT,), info, most=0)
VERSION = Command("version", "Show the version information", "", (FORMAT,), version, most=0)
DOCTOR = Command(
    "doctor",
    "Check that this machine can run containers",
    "",
    (LONG_FORMAT,),
    doctor,
    most=0,
    description="""Try everything that containers need of this machine, and print what works, what
does not, why it matters and how to enable it. The exit status is 1 when no container can run.""",
)
