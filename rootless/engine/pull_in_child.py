"""Fetching what a run needs, in a process of its own.

`run` forks without exec between here and the container, so it must have one thread, and it stays as
long as the container does: the HTTP client, TLS and the threads of a pull are none of its business.
The child says on a pipe, in JSON, which image it brought in or what failed.
"""

from __future__ import annotations

import os
import sys

from rootless.durable import write_all
from rootless.errors import NotFoundError, RootlessError
from rootless.light_json import dumps, loads
from rootless.light_stdlib import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, TypeAlias

    from rootless.images.transfer.progress import Progress
    from rootless.oci.platform import Platform
    from rootless.store.image import Image
    from rootless.store.layout import Store

ShowProgress: TypeAlias = "Callable[[], Progress]"
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
POLICIES = ("always", "missing", "never", "newer")


def find_or_fetch(
    store: Store,
    name: str,
    platform: Platform | None,
    *,
    policy: str,
    environ: Mapping[str, str],
    progress: ShowProgress | None,
) -> Image:
    """The image that a run is to use, fetched if the policy (one of POLICIES) says so.

    Raises RootlessError if it is not here and cannot be had.
    """
    from rootless.store.image import resolve

    try:
        image = resolve(store, name, platform)
    except NotFoundError:
        if policy == "never":
            raise
        image = None
    if image is not None and policy in ("missing", "never"):
        return image

    def work() -> str:
        return _fetch(
            store,
            name,
            platform,
            policy=policy,
            environ=environ,
            progress=progress,
            known=image is not None,
        )

    try:
        return resolve(store, _in_child(work), platform)
    except RootlessError:
        # podman: a newer image is welcome, but the one that is here will do.
        if policy == "newer" and image is not None:
            return image
        raise


def _fetch(
    store: Store,
    name: str,
    platform: Platform | None,
    *,
    policy: str,
    environ: Mapping[str, str],
    progress: ShowProgress | None,
    known: bool,
) -> str:
    from rootless.images.transfer.progress import Silence
    from rootless.images.transfer.pull import pull
    from rootless.oci.reference import parse_reference
    from rootless.registry.configuration import ClientEnv, registries_conf
    from rootless.registry.registries_conf import candidates
    from rootless.store.image import resolve

    shown: Progress = progress() if progress is not None else Silence()
    env = ClientEnv.of_caller(environ)
    if policy == "missing":
        # A short name may stand for an image that is here under its whole name.
        for reference in candidates(registries_conf(env), name):
            try:
                return resolve(store, str(reference), platform).id
            except NotFoundError:
                continue
    if not known:
        familiar = parse_reference(name).with_default_tag().familiar
        shown.line(f"Unable to find image '{familiar}' locally")
    pulled = pull(
        store,
        name,
        env,
        platform=platform,
        progress=shown,
        only_if_newer=policy == "newer",
    )[0]
    shown.line(f"Digest: {pulled.digest}")
    shown.line(pulled.status)
    return pulled.id


def _in_child(work: Callable[[], str]) -> str:
    """What `work` returns in a child. Raises RootlessError with what it raised there."""
    sys.stdout.flush()
    sys.stderr.flush()
    # There is no container yet that signals could be passed on to: they end the fetching, and us.
    before = {each: signal.signal(each, _stop) for each in _ENDING}
    try:
        return _wait_for(work)
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _stop(number: int, _: object) -> None:
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)


def _wait_for(work: Callable[[], str]) -> str:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os._exit(_report(work, reading, writing))
    os.close(writing)
    try:
        with open(reading, "rb") as stream:
            data = stream.read()
    except BaseException:
        os.kill(child, signal.SIGTERM)
        os.waitpid(child, 0)
        raise
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGINT:
        raise KeyboardInterrupt
    try:
        outcome: dict[str, Any] = loads(data)
    except ValueError:
        raise RootlessError("the fetching of the image ended unexpectedly") from None
    if "id" in outcome:
        return str(outcome["id"])
    kind = NotFoundError if outcome.get("missing") else RootlessError
    raise kind(str(outcome.get("message")), hint=outcome.get("hint"))


def _report(work: Callable[[], str], reading: int, writing: int) -> int:
    """In the child; returns its exit status."""
    os.close(reading)
    outcome: dict[str, Any]
    try:
        outcome = {"id": work()}
    except RootlessError as error:
        missing = isinstance(error, NotFoundError)
        outcome = {"message": error.message, "hint": error.hint, "missing": missing}
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
        return 130
    except BaseException:  # noqa: BLE001 - nothing may come back to the caller's code in the child
        import traceback

        traceback.print_exc()
        return 1
    write_all(writing, dumps(outcome))
    return 0
