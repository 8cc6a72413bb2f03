"""The corpus of the archive fuzzer, replayed, and mutations of it that are the same each time."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.fuzz.tar_index import CORPUS, mutate, one_input

SEEDS = sorted(CORPUS.iterdir())


@pytest.mark.parametrize("path", SEEDS, ids=lambda path: path.name)
def test_corpus_file_gives_an_index_or_a_clean_error(path: Path, tmp_path: Path) -> None:
    one_input(path.read_bytes(), tmp_path)


@pytest.mark.parametrize("path", SEEDS, ids=lambda path: path.name)
def test_mutations_give_an_index_or_a_clean_error(path: Path, tmp_path: Path) -> None:
    dice = random.Random(path.name)
    for _ in range(60):
        one_input(mutate(path.read_bytes(), dice), tmp_path)
