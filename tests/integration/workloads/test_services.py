"""Services with their data in a named volume: used through exec, restarted, copied and moved to another volume."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support import probes
from tests.support.rootless import Rootless
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.needs("userns", "fuse"), pytest.mark.slow]

PSQL = ("psql", "-h", "/tmp", "-U", "postgres", "-qtAc")
POSTGRES = """
set -e
bin=$(echo /usr/lib/postgresql/*/bin)
[ -e "$1/data" ] || "$bin/initdb" -D "$1/data" >/tmp/log 2>&1 || { cat /tmp/log; exit 1; }
exec "$bin/postgres" -D "$1/data" -k /tmp
"""
# As the image's own user: with subordinate ids one of several, else the only one.
AS_POSTGRES = ("-u", "postgres")
AS_ONLY_USER = ("--userns", "keep-id:uid=101,gid=103")


@pytest.fixture
def services(rootless: Rootless, services_image: Path) -> Rootless:
    rootless("import", services_image, "services", timeout=180).ok()
    return rootless


def user_options() -> tuple[str, ...]:
    return AS_POSTGRES if probes.lacking("subuid") is None else AS_ONLY_USER


def start_postgres(rootless: Rootless, name: str, *options: str) -> None:
    command = ("sh", "-c", POSTGRES, "sh", "/var/lib/postgresql")
    rootless("run", "-d", "--name", name, *user_options(), *options, "services", *command).ok()
    wait_for_postgres(rootless, name)


def wait_for_postgres(rootless: Rootless, name: str) -> None:
    wait_until(lambda: rootless("exec", name, *PSQL, "select 1").status == 0)


def sql(rootless: Rootless, name: str, text: str) -> str:
    return rootless("exec", name, *PSQL, text).ok().stdout.strip()


def test_postgres_keeps_its_data_in_a_volume(services: Rootless, tmp_path: Path) -> None:
    # The image's directory is the image's user's: it is where the volume begins.
    start_postgres(services, "db", "-v", "pg:/var/lib/postgresql")
    sql(services, "db", "create table t (a int); insert into t select generate_series(1, 10000)")
    services("restart", "db").ok()
    wait_for_postgres(services, "db")
    assert sql(services, "db", "select count(*), sum(a) from t") == "10000|50005000"
    services("stop", "-t", "30", "db").ok()
    assert json.loads(services("inspect", "db").ok().stdout)[0]["State"]["ExitCode"] == 0
    # A backup, from the stopped container; and everything is the caller's.
    services("cp", "db:/var/lib/postgresql/data", tmp_path / "backup").ok()
    assert (tmp_path / "backup/PG_VERSION").exists()
    data = services.data / "rootless/volumes/pg/_data/data"
    assert (data / "PG_VERSION").read_text() == (tmp_path / "backup/PG_VERSION").read_text()
    # The archive makes the same database elsewhere.
    services("volume", "export", "-o", tmp_path / "pg.tar", "pg").ok()
    services("volume", "create", "copy").ok()
    services("volume", "import", "copy", tmp_path / "pg.tar").ok()
    start_postgres(services, "second", "-v", "copy:/var/lib/postgresql")
    assert sql(services, "second", "select sum(a) from t") == "50005000"
    # A kill in the middle of writes: what was committed is there.
    sql(services, "second", "insert into t values (7)")
    services("kill", "second").ok()
    services("start", "second").ok()
    wait_for_postgres(services, "second")
    assert sql(services, "second", "select sum(a) from t") == "50005007"


def test_redis_as_the_image_s_root_and_as_its_own_user(services: Rootless) -> None:
    command = ("redis-server", "--dir", "/var/lib/redis", "--appendonly", "yes", "--port", "0")
    command += ("--unixsocket", "/tmp/redis.sock")
    cli = ("redis-cli", "-s", "/tmp/redis.sock")
    several = probes.lacking("subuid") is None
    own = ("-u", "redis") if several else ("--userns", "keep-id:uid=100,gid=102")
    for name, options in (("root", ()), ("own", own)):
        volume = ("-v", f"{name}:/var/lib/redis")
        services("run", "-d", "--name", name, *options, *volume, "services", *command).ok()
        wait_until(lambda name=name: services("exec", name, *cli, "ping").stdout == "PONG\n")
        services("exec", name, *cli, "set", "key", "value").ok()
        services("restart", name).ok()
        wait_until(lambda name=name: services("exec", name, *cli, "ping").stdout == "PONG\n")
        assert services("exec", name, *cli, "get", "key").ok().stdout == "value\n"
        services("rm", "-f", name).ok()


def test_nginx_serves_what_another_container_writes(services: Rootless, tmp_path: Path) -> None:
    configuration = tmp_path / "nginx.conf"
    configuration.write_text(
        "daemon off; pid /tmp/nginx.pid; error_log stderr; events {}\n"
        "http { access_log off; server { listen unix:/tmp/http.sock; root /srv/site; } }\n"
    )
    options = ("-v", "site:/srv/site:ro", "-v", f"{configuration}:/etc/nginx/nginx.conf:ro")
    services("run", "-d", "--name", "web", *options, "services", "nginx").ok()
    script = "echo hello > /srv/site/index.html; chmod 644 /srv/site/index.html"
    services("run", "--rm", "-v", "site:/srv/site", "services", "sh", "-c", script).ok()
    get = """
        exec perl -MIO::Socket::UNIX -e '
            my $s = IO::Socket::UNIX->new("/tmp/http.sock") or exit 1;
            print $s "GET / HTTP/1.0\\r\\n\\r\\n";
            my @lines = <$s>; print $lines[-1]'
    """
    wait_until(lambda: services("exec", "web", "sh", "-c", get).stdout == "hello\n")
