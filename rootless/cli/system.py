"""`info`, `version` and `doctor`: the engine about itself and about the machine."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rootless import __version__
from rootless.cli.grammar import Parsed
from rootless.cli.main import Settings, engine_of
from rootless.cli.output import as_json, wants_json

if TYPE_CHECKING:
    from rootless.engine.doctor import Finding

_MARKS = {"ok": "ok      ", "degraded": "degraded", "missing": "MISSING "}


def info(parsed: Parsed, settings: Settings) -> int:
    """Print what the engine is and stands on, as Docker does."""
    document = engine_of(settings).info()
    if wants_json(parsed.values["format"]):
        print(as_json(document))
        return 0
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
    ]
    print("\n".join(lines))
    return 0


def version(parsed: Parsed, settings: Settings) -> int:  # noqa: ARG001 - a handler's signature
    """Print versions in Docker's layout."""
    client: Mapping[str, Any] = {
        "Version": __version__,
        "PythonVersion": platform.python_version(),
        "KernelVersion": platform.release(),
        "Os": "linux",
        "Arch": platform.machine(),
    }
    if wants_json(parsed.values["format"]):
        print(as_json({"Client": client, "Server": None}))
        return 0
    print("Client: Rootless")
    print(f" Version:           {client['Version']}")
    print(f" Python version:    {client['PythonVersion']}")
    print(f" Kernel version:    {client['KernelVersion']}")
    print(f" OS/Arch:           {client['Os']}/{client['Arch']}")
    return 0


def doctor(parsed: Parsed, settings: Settings) -> int:
    """Print what was found; the status is 1 when no container can run."""
    from rootless.engine.doctor import can_run

    findings = engine_of(settings).examine()
    able = can_run(findings)
    if wants_json(parsed.values["format"]):
        print(
            as_json(
                {
                    "CanRun": able,
                    "Findings": [
                        {**finding._asdict(), "verdict": finding.verdict.value}
                        for finding in findings
                    ],
                }
            )
        )
    else:
        print("\n".join(line for finding in findings for line in _lines(finding)))
        print("\nContainers can run here." if able else "\nNo container can run here.")
    return 0 if able else 1


def _lines(finding: Finding) -> list[str]:
    lines = [f"{_MARKS[finding.verdict.value]}  {finding.subject}: {finding.found}"]
    if finding.verdict.value != "ok":
        lines.append(f"            why:  {finding.why}")
        if finding.remedy:
            lines.append(f"            do:   {finding.remedy}")
    return lines
