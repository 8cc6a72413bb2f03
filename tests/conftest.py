"""The rules of the whole suite: the account that runs it, the features that a test needs, what is removed before and
after, and the summary."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest
from hypothesis.configuration import set_hypothesis_home_dir

from tests.support import probes
from tests.support.debian import (
    BUILD_SECONDS,
    SHARED,
    cache_directory,
    clients_tar,
    debian_tar,
    services_tar,
    toolchain_tar,
)
from tests.support.images import busybox_tar
from tests.support.mounts import sweep
from tests.support.rootless import Rootless, remove_tree, short_directory

REQUIRED = frozenset(filter(None, os.environ.get("ROOTLESS_TEST_REQUIRE", "").split(",")))
"""Features whose absence fails a test instead of skipping it."""

IMAGES = frozenset({"debian_image", "services_image", "clients_image", "toolchain_image"})
"""Fixtures that take minutes the first time."""

CACHE = cache_directory()
set_hypothesis_home_dir(CACHE / "hypothesis")
_PROFILES = {
    "quick": {"max_examples": 25, "stateful_step_count": 25},
    # The same choices each time: a failure is about the change and not about chance. `make soak`
    # makes other choices.
    "ci": {"max_examples": 60, "stateful_step_count": 40, "derandomize": True, "database": None},
    "soak": {"max_examples": 2000, "stateful_step_count": 80},
}
for _name, _values in _PROFILES.items():
    # How long an example takes to be made says something of the machine alone.
    hypothesis.settings.register_profile(
        _name,
        deadline=None,
        suppress_health_check=[hypothesis.HealthCheck.too_slow],
        print_blob=True,
        **_values,
    )
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--needing", metavar="FEATURE", help="only the tests that need this feature")
    parser.addoption(
        "--and-in",
        metavar="PATH",
        type=Path,
        action="append",
        default=[],
        help="with --needing, those of this file or directory too",
    )
    parser.addoption(
        "--shared",
        metavar="DIRECTORY",
        type=Path,
        help="only the tests that no other run with this directory has taken",
    )


def pytest_sessionstart(session: pytest.Session) -> None:
    if os.geteuid() == 0:
        # As root nearly everything works, so nearly nothing would be tested.
        pytest.exit(
            "the suite does not run as root: scripts/test drops to an ordinary account first",
            returncode=4,
        )
    # Ignored under nohup(1), or in a shell's background, and then by all that the tests start too.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    # Not what the other runs have mounted since.
    directory = session.config.getoption("--shared")
    if directory is None or _take(directory, "mounts of earlier runs"):
        sweep()


def features_of(item: pytest.Item) -> list[str]:
    return [feature for marker in item.iter_markers("needs") for feature in marker.args]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if unknown := set(features_of(item)) - probes.PROBES.keys():
            raise pytest.UsageError(
                f"{item.nodeid} needs {sorted(unknown)}: no such probe in tests/support/probes.py"
            )
        if IMAGES & set(getattr(item, "fixturenames", ())):
            # It may make the image, or wait for another run that does.
            item.add_marker(pytest.mark.timeout(2 * BUILD_SECONDS))
    if unknown := REQUIRED - probes.PROBES.keys():
        raise pytest.UsageError(f"ROOTLESS_TEST_REQUIRE names {sorted(unknown)}: no such probe")
    if feature := config.getoption("--needing"):
        others = [config.rootpath / path for path in config.getoption("--and-in")]
        chosen = [
            item
            for item in items
            if feature in features_of(item) or any(map(item.path.is_relative_to, others))
        ]
        config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
        items[:] = chosen
    if config.getoption("--shared"):
        # What takes long comes first, so that the runs that share the tests end at the same time.
        long = {item.path for item in items if item.get_closest_marker("slow")}
        items.sort(key=lambda item: item.path not in long)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """With --shared, the loop of pytest, over the tests that this run takes."""
    directory = session.config.getoption("--shared")
    if directory is None or session.testsfailed or session.config.option.collectonly:
        return None
    taken = (item for item in session.items if _take(directory, item.nodeid))
    item = next(taken, None)
    while item is not None:
        following = next(taken, None)  # whose fixtures are kept
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.shouldfail:
            raise session.Failed(session.shouldfail)
        if session.shouldstop:
            raise session.Interrupted(session.shouldstop)
        item = following
    return True


def _take(directory: Path, name: str) -> bool:
    try:
        (directory / hashlib.sha256(name.encode()).hexdigest()).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def pytest_runtest_setup(item: pytest.Item) -> None:
    for feature in features_of(item):
        if reason := probes.lacking(feature):
            if feature in REQUIRED:
                pytest.fail(f"{feature} is required here: {reason}", pytrace=False)
            pytest.skip(reason)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    # A selection for which there is no test yet has not failed.
    if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and session.config.getoption("--needing"):
        session.exitstatus = pytest.ExitCode.OK


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if config.pluginmanager.hasplugin("randomly"):
        seed = config.getoption("randomly_seed")
        terminalreporter.write_line(f"this order of tests again: --randomly-seed={seed}")
    reasons = Counter(
        str(report.longrepr[2]).removeprefix("Skipped: ")
        if isinstance(report.longrepr, tuple)
        else str(report.longrepr)
        for report in terminalreporter.stats.get("skipped", [])
    )
    if reasons:
        terminalreporter.section("skipped, by reason")
        for reason, count in reasons.most_common():
            terminalreporter.write_line(f"{count:5}  {reason}")


@pytest.fixture(scope="session")
def busybox_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root file system of busybox and its links, as an uncompressed tar: under a second to
    make."""
    if reason := probes.lacking("busybox"):
        pytest.skip(reason)
    path = tmp_path_factory.mktemp("busybox") / "rootfs.tar"
    busybox_tar(path)
    return path


@pytest.fixture(scope="session")
def debian_image() -> Path:
    """A Debian root file system as a tar, with .deb files in /srv/debs: a minute to make, once for an account."""
    return _debian("debian", debian_tar)


@pytest.fixture(scope="session")
def services_image() -> Path:
    """A Debian root file system with PostgreSQL, Redis and nginx as a tar: two minutes to make, once for an account."""
    return _debian("services", services_tar)


@pytest.fixture(scope="session")
def clients_image() -> Path:
    """A Debian root file system with curl, dig and iperf3 as a tar: a minute to make, once for an account."""
    return _debian("clients", clients_tar)


@pytest.fixture(scope="session")
def toolchain_image() -> Path:
    """A Debian root file system with a C compiler and Node as a tar: four minutes to make, once for an account."""
    return _debian("toolchain", toolchain_tar)


def _debian(kind: str, make: Callable[[Path], Path]) -> Path:
    reason = probes.lacking("mmdebstrap") or probes.lacking("subuid")
    if reason and not any(SHARED.glob(f"{kind}-*.tar")):
        pytest.skip(reason)
    try:
        return make(CACHE)
    except RuntimeError as error:
        if "mmdebstrap" in REQUIRED:
            raise
        pytest.skip(f"no Debian root file system can be made: {error}")


@pytest.fixture
def rootless() -> Iterator[Rootless]:
    """The command under test, with a store and a runtime directory of its own."""
    directory = short_directory()
    command = Rootless(data=directory / "data", runtime=directory / "run")
    try:
        yield command
    finally:
        command.end()
        command.remove_containers()
        remove_tree(directory)


@pytest.fixture(scope="session")
def give_busybox(
    tmp_path_factory: pytest.TempPathFactory, busybox_image: Path
) -> Callable[[Rootless, str], None]:
    """Gives the command a store that has busybox as an image of this name alone. It is imported once, and the store copied."""
    made: dict[str, Path] = {}

    def give(rootless: Rootless, name: str) -> None:
        if name not in made:
            made[name] = tmp_path_factory.mktemp("store")
            Rootless(made[name], rootless.runtime)("import", busybox_image, name).ok()
        assert not rootless.data.exists()
        subprocess.run(["cp", "-a", made[name], rootless.data], check=True, timeout=120)

    return give


@pytest.fixture
def box(rootless: Rootless, give_busybox: Callable[[Rootless, str], None]) -> Rootless:
    """The command under test, with busybox as the image box:1."""
    give_busybox(rootless, "box:1")
    return rootless
