"""What the fuzzers found or start from, replayed; and mutations of it that are the same each time."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest

from tests.fuzz import (
    dockerfiles,
    ignore_files,
    image_documents,
    references,
    sif_headers,
    tar_index,
    templates,
)
from tests.fuzz.loop import feed, seeds_of

FUZZERS = (
    dockerfiles,
    ignore_files,
    image_documents,
    references,
    sif_headers,
    tar_index,
    templates,
)
_FILES = [(fuzzer, path) for fuzzer in FUZZERS for path in sorted(fuzzer.CORPUS.iterdir())]


def name_of(value: object) -> str:
    if isinstance(value, ModuleType):
        return value.__name__.rpartition(".")[2]
    return value.name if isinstance(value, Path) else ""


def reader(fuzzer: ModuleType, scratch: Path) -> Callable[[bytes], object]:
    return partial(tar_index.one_input, work=scratch) if fuzzer is tar_index else fuzzer.one_input


@pytest.mark.parametrize(("fuzzer", "path"), _FILES, ids=name_of)
def test_corpus_file_is_read_or_cleanly_refused(fuzzer, path, tmp_path):
    feed(path.read_bytes(), reader(fuzzer, tmp_path))


@pytest.mark.parametrize("fuzzer", FUZZERS, ids=name_of)
def test_mutations_are_read_or_cleanly_refused(fuzzer, tmp_path):
    read, seeds = reader(fuzzer, tmp_path), seeds_of(fuzzer.CORPUS)
    mutate = tar_index.mutation if fuzzer is tar_index else fuzzer.mutate
    for number in range(400):
        feed(mutate(seeds, random.Random(number)), read)
