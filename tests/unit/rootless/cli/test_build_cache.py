"""The values of --cache-from and --cache-to."""

from __future__ import annotations

import pytest

from rootless.build.cache.options import CacheExport, CacheImport, Compression
from rootless.cli.builds.cache import parse_cache_exports, parse_cache_imports
from rootless.errors import UsageError
from rootless.oci.reference import parse_reference


def reference(text):
    return parse_reference(text).with_default_tag()


def test_a_bare_name_and_a_ref_are_an_image_at_a_registry():
    first, second = parse_cache_imports(("user/app", "type=registry,ref=reg.example/app:c"))
    assert first == CacheImport(reference("user/app"), name="user/app")
    assert second == CacheImport(reference("reg.example/app:c"), name="reg.example/app:c")
    assert parse_cache_exports(("user/app",)) == (CacheExport(reference("user/app")),)


def test_empty_values_and_the_cache_of_github_elsewhere_do_not_count(monkeypatch):
    monkeypatch.delenv("ACTIONS_RUNTIME_TOKEN", raising=False)
    assert parse_cache_imports(("", "type=gha")) == ()
    assert parse_cache_exports(("", "type=gha,mode=max")) == ()
    monkeypatch.setenv("ACTIONS_RUNTIME_TOKEN", "x")
    with pytest.raises(UsageError, match='unknown cache exporter: "gha"'):
        parse_cache_exports(("type=gha",))


def test_every_option_of_an_export_is_read():
    (found,) = parse_cache_exports(
        (
            (
                "type=registry,ref=a/b:c,mode=max,compression=zstd,compression-level=7,"
                "force-compression=true,oci-mediatypes=false,image-manifest=0,ignore-error=1,other=1"
            ),
        )
    )
    assert found == CacheExport(
        reference("a/b:c"),
        is_whole=True,
        compression=Compression.ZSTD,
        level=7,
        recompresses=True,
        has_docker_types=True,
        is_index=True,
        ignores_errors=True,
    )


def test_layouts_have_a_tag_and_a_digest():
    assert parse_cache_exports(("type=local,dest=/c,tag=x",)) == (
        CacheExport(directory="/c", tag="x"),
    )
    assert parse_cache_imports(("type=local,src=/c,digest=sha256:1",)) == (
        CacheImport(directory="/c", digest="sha256:1", name="/c"),
    )


def test_inline_has_no_place():
    (found,) = parse_cache_exports(("type=inline,mode=max",))
    assert found.is_inline


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("type=registry", "registry cache importer requires ref"),
        ("type=local", "local cache importer requires src"),
        ("type=inline", "unknown cache importer: inline"),
        ("foo=bar", 'type required form> "foo=bar"'),
        ("type=registry,ref=a,b", "invalid value b"),
    ],
)
def test_imports_that_make_no_sense_are_refused(text, message):
    with pytest.raises(UsageError) as caught:
        parse_cache_imports((text,))
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("type=foo", 'unknown cache exporter: "foo"'),
        ("type=s3,bucket=b", 'unknown cache exporter: "s3"'),
        ("type=registry", "registry cache exporter requires ref"),
        ("type=local", "local cache exporter requires dest"),
        ("foo=bar", 'type required form> "foo=bar"'),
        ("type=registry,ref=a,mode=mid", "invalid cache mode 'mid'"),
        (
            "type=registry,ref=a,compression=bz2",
            "failed to configure registry cache exporter: unsupported compression type bz2",
        ),
        (
            "type=local,dest=a,compression=zstd,compression-level=x",
            (
                "failed to configure local cache exporter: non-integer value x specified for "
                "compression-level"
            ),
        ),
        (
            "type=registry,ref=a,oci-mediatypes=maybe",
            (
                "failed to configure registry cache exporter: failed to parse oci-mediatypes: "
                "'maybe' is no boolean"
            ),
        ),
    ],
)
def test_exports_that_make_no_sense_are_refused(text, message):
    with pytest.raises(UsageError) as caught:
        parse_cache_exports((text,))
    assert caught.value.message == message


def test_a_malformed_reference_names_the_exporter():
    with pytest.raises(UsageError, match=r"^failed to configure registry cache exporter: "):
        parse_cache_exports(("type=registry,ref=UPPER",))
