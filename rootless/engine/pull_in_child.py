"""Pulls the image of a run in a child process.

`run` stays as long as the container does, and forks its monitor: it must keep one thread, and should
not hold the HTTP client and TLS in memory.
"""

from __future__ import annotations

from rootless.errors import NotFoundError, RootlessError
from rootless.light_stdlib import signal
from rootless.spec.options import PullPolicy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeAlias

    from rootless.images.transfer.progress import Progress
    from rootless.oci.platform import Platform
    from rootless.oci.reference import Reference
    from rootless.registry.configuration import ClientEnv
    from rootless.store.image import Image
    from rootless.store.layout import Store

ShowProgress: TypeAlias = "Callable[[], Progress]"
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def find_or_fetch(
    store: Store,
    name: str,
    platform: Platform | None,
    *,
    policy: PullPolicy,
    environ: Mapping[str, str],
    progress: ShowProgress | None,
    pulled: Callable[[Reference], None],
) -> Image:
    """The image that a run is to use, fetched if the policy asks for it; `pulled` is then called with its
    name, in the process that has fetched it.

    Raises RootlessError if it is not here and cannot be had.
    """
    from rootless.store.image import resolve

    try:
        image = resolve(store, name, platform)
    except NotFoundError:
        if policy is PullPolicy.NEVER:
            raise
        image = None
    if image is not None and policy in (PullPolicy.MISSING, PullPolicy.NEVER):
        return image

    from rootless.supervisor import turn

    store.require_writable()
    turn.end()

    def work() -> str:
        return _fetch(
            store,
            name,
            platform,
            policy=policy,
            environ=environ,
            progress=progress,
            known=image is not None,
            pulled=pulled,
        )

    try:
        return resolve(store, _in_child(work), platform)
    except RootlessError:
        # podman: a newer image is welcome, but the one that is here will do.
        if policy is PullPolicy.NEWER and image is not None:
            return image
        raise


def _fetch(
    store: Store,
    name: str,
    platform: Platform | None,
    *,
    policy: PullPolicy,
    environ: Mapping[str, str],
    progress: ShowProgress | None,
    known: bool,
    pulled: Callable[[Reference], None],
) -> str:
    from functools import partial

    from rootless.images.transfer.progress import Silence
    from rootless.registry.configuration import ClientEnv, registries_conf
    from rootless.registry.registries_conf import candidates
    from rootless.store.image import resolve
    from rootless.store.partial import only_fetch_of

    shown: Progress = progress() if progress is not None else Silence()
    env = ClientEnv.of_caller(environ)
    fetch = partial(
        _pull, store, name, platform, env, policy=policy, shown=shown, known=known, pulled=pulled
    )
    if policy is not PullPolicy.MISSING:
        return fetch()
    # Many runs may start at one time: one of them asks the registry for the manifest, the configuration and the layers.
    what = name if platform is None else f"{name} {platform}"
    with only_fetch_of(store, what, lambda: shown.line(f"Waiting for another pull of {name}")):
        # Here now, or a short name of an image that is here under its whole name.
        for reference in candidates(registries_conf(env), name):
            try:
                return resolve(store, str(reference), platform).id
            except NotFoundError:
                continue
        return fetch()


def _pull(
    store: Store,
    name: str,
    platform: Platform | None,
    env: ClientEnv,
    *,
    policy: PullPolicy,
    shown: Progress,
    known: bool,
    pulled: Callable[[Reference], None],
) -> str:
    from rootless.images.transfer.pull import pull
    from rootless.oci.reference import parse_reference

    if not known:
        familiar = parse_reference(name).with_default_tag().familiar
        shown.line(f"Unable to find image '{familiar}' locally")
    image = pull(
        store,
        name,
        env,
        platform=platform,
        progress=shown,
        only_if_newer=policy is PullPolicy.NEWER,
    )[0]
    pulled(image.reference)
    shown.line(f"Digest: {image.digest}")
    shown.line(image.status)
    return image.id


def _in_child(work: Callable[[], str]) -> str:
    """What `work` returns in a child process, or raises there. A process with several threads may
    not fork, and does it itself: it keeps what a pull imports anyway.
    """
    from rootless.run_in_child import run_in_child
    from rootless.supervisor.start import has_one_thread

    if not has_one_thread():
        return work()
    # There is no container yet that signals could be passed on to: they end the pull and `run`.
    before = {each: signal.signal(each, _stop) for each in _ENDING}
    try:
        return run_in_child(work)
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _stop(number: int, _: object) -> None:
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)
