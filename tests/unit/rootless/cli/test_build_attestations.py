"""The values of --provenance, --sbom and --attest."""

from __future__ import annotations

import pytest

from rootless.build.provenance import ProvenanceOptions
from rootless.cli.builds.attestations import parse_attestations
from rootless.errors import UsageError


@pytest.mark.parametrize("provenance", [None, "", "false", "0", "disabled=true"])
def test_nothing_is_attested_unless_it_is_asked_for(provenance):
    assert parse_attestations((), provenance, "false") is None


@pytest.mark.parametrize("provenance", ["true", "1", "mode=min", "mode=min,other=1"])
def test_provenance_is_minimal(provenance):
    assert parse_attestations((), provenance, None) == ProvenanceOptions()
    assert parse_attestations(
        (f"type=provenance,{provenance}" if "=" in provenance else "type=provenance",), None, None
    )


def test_options_of_the_provenance_are_read():
    found = parse_attestations((), "version=v1,builder-id=https://b/1,reproducible=true", None)
    assert found == ProvenanceOptions("v1", "https://b/1", is_reproducible=True)


def test_attest_goes_before_provenance():
    assert parse_attestations(("type=provenance",), "false", None) == ProvenanceOptions()
    assert parse_attestations(("type=provenance,disabled=true",), "true", None) is None


@pytest.mark.parametrize(
    ("attestations", "provenance", "sbom", "message"),
    [
        ((), "mode=max", None, "provenance with mode=max is not supported"),
        ((), "mode=foo", None, 'invalid mode "foo"'),
        ((), "min", None, "invalid value min"),
        ((), "version=v2", None, "invalid provenance SLSA version: v2"),
        ((), None, "true", "SBOM attestations are not supported: they need a scanner of packages"),
        (
            ("type=sbom",),
            None,
            None,
            "SBOM attestations are not supported: they need a scanner of packages",
        ),
        (("type=foo",), None, None, 'unknown attestation type "foo"'),
        (("provenance",), None, None, "invalid value provenance"),
    ],
)
def test_what_is_not_supported_is_refused(attestations, provenance, sbom, message):
    with pytest.raises(UsageError) as caught:
        parse_attestations(attestations, provenance, sbom)
    assert caught.value.message == message
