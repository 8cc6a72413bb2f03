"""What a compressed stream may hold: anything that neither memory nor the disk is too small for."""

import zlib

import pytest

from rootless.errors import RootlessError
from rootless.store.decompression import Limits, Meter, decompressed


def zeros(mebibytes):
    """A gzip stream of this many mebibytes of zeros, as a reader."""
    compressor = zlib.compressobj(9, wbits=31)
    data = b"".join(compressor.compress(bytes(1 << 20)) for _ in range(mebibytes))
    pieces = iter([data + compressor.flush()])
    return lambda _: next(pieces, b"")


def test_gibibyte_of_zeros_is_no_bomb(tmp_path):
    """Sparse disk images and databases look like that: 1,000 to one, in pieces of bounded size."""
    pieces = decompressed(zeros(1100), "gzip", Meter(Limits(), tmp_path, "it"), "it")
    sizes = [len(piece) for piece in pieces]
    assert (sum(sizes), max(sizes) <= 1 << 20) == (1100 << 20, True)


def test_stream_ends_where_the_disk_is_about_to_be_full(tmp_path):
    meter = Meter(Limits(reserve=1 << 60), tmp_path, "it")
    with pytest.raises(RootlessError, match="no space left for it"):
        list(decompressed(zeros(100), "gzip", meter, "it"))
