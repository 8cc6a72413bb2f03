"""What an image has, by the indexes of its layers, is what a union of the layers shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from rootless.containers.launch_description import HostTree, ImageTree
from rootless.rootfs.image.paths import has_directory, has_paths
from tests.support.tar_layers import directory, layer_files, member, symlink
from unionfs.tar.chain import build_chain

PATHS = (
    "/etc/apt",
    "/etc/apt/conf.d",
    "/etc/file",
    "/gone/below",
    "/link/apt",
    "/.scripts/run",
    "/no",
)
LAYERS = (
    [
        directory("etc"),
        directory("etc/apt/conf.d"),
        directory("gone/below"),
        member("etc/apt/conf.d/a"),
    ],
    [member(".wh.gone"), symlink("link", "etc"), member("etc/file")],
    [symlink(".scripts", "/etc/apt"), member("etc/apt/.wh.conf.d"), member("etc/apt/run")],
)


@pytest.fixture(params=["layers", "merged", "above"])
def image(request: pytest.FixtureRequest, tmp_path: Path) -> list[ImageTree]:
    """The first layer, the first two, and all three."""
    trees = []
    made = []
    for number, members in enumerate(LAYERS):
        place = tmp_path / str(number)
        place.mkdir()
        archive, index = layer_files(place, members)
        made.append((str(archive), str(index)))
        above = 1 if request.param == "above" and number else 0
        chain = None
        if request.param != "layers" and len(made) - above > 1:
            chain = str(place / "chain")
            build_chain([each for _, each in made[: len(made) - above]], chain)
        trees.append(ImageTree(tuple(made), chain, above if chain else 0))
    return trees


def test_directories(image: list[ImageTree]) -> None:
    found = [{path for path in PATHS if has_directory(tree, path)} for tree in image]
    below = {"/etc/apt", "/etc/apt/conf.d", "/gone/below"}
    assert found == [below, below - {"/gone/below"}, {"/etc/apt"}]


def test_paths(image: list[ImageTree]) -> None:
    found = [
        {path for path, there in zip(PATHS, has_paths(tree, PATHS), strict=True) if there}
        for tree in image
    ]
    first = {"/etc/apt", "/etc/apt/conf.d", "/gone/below"}
    second = {"/etc/apt", "/etc/apt/conf.d", "/etc/file", "/link/apt"}
    assert found == [first, second, {"/etc/apt", "/etc/file", "/link/apt", "/.scripts/run"}]
    assert has_paths(image[0], ["/.scripts/run", "/.scripts"]) == [False, False]
    assert has_paths(image[1], ["/gone"]) == [False]


def test_image_without_layers_and_directory_of_the_host(tmp_path: Path) -> None:
    assert has_paths(ImageTree(()), ["/etc"]) == [False]
    assert not has_directory(ImageTree(()), "/etc")
    (tmp_path / "etc").mkdir()
    tree = HostTree(str(tmp_path))
    assert has_paths(tree, ["/etc", "/etc/no"]) == [True, False]
    assert (has_directory(tree, "/etc"), has_directory(tree, "/no")) == (True, False)
