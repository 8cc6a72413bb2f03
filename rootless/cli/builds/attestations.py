"""The values of `build --provenance`, `--sbom` and `--attest`, in buildx's grammar."""

from __future__ import annotations

from rootless.build.provenance import PREDICATE_TYPES, ProvenanceOptions
from rootless.csv_fields import split_fields
from rootless.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_TRUE, _FALSE = frozenset(("1", "t", "true")), frozenset(("0", "f", "false"))


def parse_attestations(
    attestations: Sequence[str], provenance: str | None, sbom: str | None
) -> ProvenanceOptions | None:
    """The attestation to make; None: none. --attest goes before --provenance and --sbom. Raises UsageError."""
    asked: dict[str, dict[str, str]] = {}
    for kind, text in (("sbom", sbom), ("provenance", provenance)):
        if text:
            asked[kind] = _values(_of_type(kind, text))
    for text in attestations:
        values = _values(text)
        asked[values.get("type", "")] = values
    found = None
    for kind, values in asked.items():
        if values.get("disabled", "").lower() in _TRUE:
            continue
        if kind == "sbom":
            raise UsageError(
                "SBOM attestations are not supported: they need a scanner of packages",
                hint="scan the image with a tool of its own, such as syft",
            )
        if kind != "provenance":
            raise UsageError(f'unknown attestation type "{kind}"')
        found = _provenance(values)
    return found


def _of_type(kind: str, text: str) -> str:
    """The value of --provenance or --sbom as one of --attest."""
    if text.lower() in _TRUE:
        return f"type={kind}"
    if text.lower() in _FALSE:
        return f"type={kind},disabled=true"
    return f"type={kind},{text}"


def _values(text: str) -> dict[str, str]:
    values = {}
    for field in split_fields(text):
        name, equals, value = field.partition("=")
        if not equals:
            raise UsageError(f"invalid value {field}")
        values[name.strip().lower()] = value
    return values


def _provenance(values: dict[str, str]) -> ProvenanceOptions:
    mode, version = values.get("mode", "min"), values.get("version", "v0.2")
    if mode == "max":
        raise UsageError("provenance with mode=max is not supported", hint="--provenance=mode=min")
    if mode != "min":
        raise UsageError(f'invalid mode "{mode}"')
    if version not in PREDICATE_TYPES:
        raise UsageError(f"invalid provenance SLSA version: {version}")
    return ProvenanceOptions(
        version, values.get("builder-id", ""), values.get("reproducible", "").lower() in _TRUE
    )
