"""Starts containers after a boot, and stops them before a shutdown."""

from __future__ import annotations

import os

from rootless.containers.process_identity import is_elsewhere
from rootless.containers.reconcile import reconcile
from rootless.containers.restart_policy import restarts
from rootless.containers.status import MONITORED, Status
from rootless.engine.boot_unit import InstalledUnit, install_unit, unit_text
from rootless.engine.lifecycle.starting import read_launch
from rootless.engine.lifecycle.verbs import begin_shutdown
from rootless.errors import InvalidDocumentError, RootlessError
from rootless.spec.options import RestartName

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from rootless.containers.record import ContainerRecord
    from rootless.containers.storage_paths import StoragePaths


class Boot:
    """The containers of one store, and the unit of the user's systemd that starts and stops them."""

    def __init__(self, paths: StoragePaths, environ: Mapping[str, str]) -> None:
        self._paths = paths
        self._environ = environ

    def unit(self) -> str:
        """The text of the unit. Raises HostSupportError where there is no systemd."""
        return unit_text(self._paths, self._environ)

    def install_unit(self) -> InstalledUnit:
        """Write and enable the unit for this user. Raises HostSupportError where there is no systemd."""
        return install_unit(self.unit(), self._environ)

    def containers(self) -> list[ContainerRecord]:
        """The containers that are started after a boot, oldest first: those that have been started before, with
        the policy always, or unless-stopped or on-failure unless a user has stopped them. Docker's daemon
        starts the same.
        """
        reconcile(self._paths.containers)
        return [record for record in self._paths.containers.all() if self._is_started(record)]

    def stop_containers(self) -> None:
        """Stop all running containers, at the same time. They do not count as stopped by a user: the next boot
        starts them again.
        """
        reconcile(self._paths.containers)
        running = [
            each
            for each in self._paths.containers.all()
            if each.status in MONITORED and not is_elsewhere(each.boot, each.host)
        ]
        endings = [begin_shutdown(self._paths, record) for record in running]
        for ending in endings:
            if ending is not None:
                ending.wait()

    def _is_started(self, record: ContainerRecord) -> bool:
        if record.status is not Status.EXITED or not record.started or record.auto_remove:
            return False
        if record.host not in {"", os.uname().nodename}:
            return False  # it is another machine's, which uses the same store
        try:
            policy = read_launch(self._paths, record).restart
        except InvalidDocumentError:
            return True  # the start reports what is damaged
        except (OSError, RootlessError):
            return False
        if policy.name is RestartName.ON_FAILURE and record.stopped_by_user:
            return False
        return restarts(
            policy, exit_code=record.exit_code, count=0, stopped_by_user=record.stopped_by_user
        )
