import subprocess

import pytest

from tests.support.cluster import Cluster


@pytest.fixture
def cluster(box, tmp_path):
    """A user of a cluster, with the image box:1 of busybox."""
    return Cluster(box, tmp_path)


@pytest.fixture(scope="module")
def scripted_tree(tmp_path_factory, busybox_image):
    """A root file system with the scripts that Apptainer keeps in its images."""
    tree = tmp_path_factory.mktemp("tree")
    subprocess.run(["tar", "-xf", busybox_image, "-C", tree], check=True)
    scripts = tree / ".singularity.d"
    (scripts / "env").mkdir(parents=True)
    (scripts / "env/10-docker2singularity.sh").write_text(
        'export PATH="/opt/tool:/bin"\nexport OF_IMAGE="${OF_IMAGE:-"image"}"\n'
    )
    (scripts / "env/90-environment.sh").write_text("export FIXED=image\n")
    (scripts / "runscript").write_text('#!/bin/sh\necho "run: $* $OF_IMAGE"\n')
    (scripts / "runscript").chmod(0o755)
    app = tree / "scif/apps/foo/scif"
    (app / "env").mkdir(parents=True)
    (app / "env/90-environment.sh").write_text("export FOO=app\n")
    (app / "runscript").write_text('#!/bin/sh\necho "app: $* $FOO"\n')
    (app / "runscript").chmod(0o755)
    return tree
