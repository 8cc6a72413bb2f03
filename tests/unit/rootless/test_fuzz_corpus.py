"""What the fuzzers found or start from is refused or read, never anything else."""

import pytest

from tests.fuzz.image_documents import CORPUS, one_input


@pytest.mark.parametrize("path", sorted(CORPUS.iterdir()), ids=lambda path: path.name)
def test_corpus_of_image_documents_raises_only_errors_of_ours(path):
    one_input(path.read_bytes())
