"""What the operations on containers that live and on networks are to take at most, beside their peers. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """Shares of the medians of peers by name and of the faster one, and seconds."""

    of: Mapping[str, float]
    of_faster: float | None = None
    seconds: float | None = None

    def limits(self, peers: Mapping[str, float]) -> list[float]:
        """The seconds that every figure must not exceed, from those of the peers that took part."""
        found = [peers[name] * share for name, share in self.of.items() if name in peers]
        if self.of_faster is not None and peers:
            found.append(min(peers.values()) * self.of_faster)
        if self.seconds is not None:
            found.append(self.seconds)
        return found

    def __str__(self) -> str:
        parts = [f"{share:g} x {name}" for name, share in self.of.items()]
        if self.of_faster is not None:
            parts.append(f"{self.of_faster:g} x the faster")
        if self.seconds is not None:
            parts.append(f"{self.seconds * 1000:.0f} ms")
        return ", ".join(parts)


_HALF = Target({}, of_faster=0.5)
_AS_PODMAN = Target({"podman": 1.0})

TARGETS: Mapping[str, Target] = {
    "run --rm true": Target({"podman": 0.4, "docker": 0.25}),
    "run -d": _HALF,
    "stop -t 0": _HALF,
    "exec true": Target({"podman": 0.5, "docker": 0.5}),
    "rm -f, SIGTERM ignored": Target({}, seconds=0.2),
    "ps -a": Target({"podman": 0.7, "docker": 0.7}),
    "run -d, many at once": _HALF,
    "output to the log": _HALF,
    "logs": _HALF,
    "output through run": _HALF,
    "cp in": _HALF,
    "cp out": _HALF,
    "cp in, one file": Target({"docker": 1.0}),
    "run true on the default network": Target({"podman": 0.6}),
    "run true on a network": Target({"podman": 0.5}),
    "run true on a network with 100 ports": Target({"podman": 1.0, "docker": 1.0}),
    "first name on a network": _AS_PODMAN,
    "run -d of many on a network": _AS_PODMAN,
    "send between containers": _AS_PODMAN,
    "send to a published port": _AS_PODMAN,
    "send to the host": _AS_PODMAN,
}
"""By workload of `benchmarks.lifecycle` and `benchmarks.network`."""
