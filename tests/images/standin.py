"""An app or notebook instance as a lifecycle script finds it, below a folder of its own.

The image's environment is in its real place. The programs that restart a server are small stand-ins
that really do so, and a supervisor restarts the server whenever it ends.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sagemaker_autoshutdown.lifecycle.script import Kind
from sagemaker_autoshutdown.settings.admin import FIXED_SETTINGS_FILE
from tests.localstudio.names import new_domain_id
from tests.localstudio.processes import free_port
from tests.localstudio.servers import NOT_INHERITED

from .images import Environment

ARN = "arn:aws:sagemaker:us-west-2:123456789012:"


def metadata_of(kind: Kind, domain: str) -> dict[str, str]:
    """What Studio writes about an app of this domain. A notebook instance is in none, so its name
    has the domain's."""
    if kind is Kind.NOTEBOOK_INSTANCE:
        name = f"notebook-{domain}"
        return {"ResourceArn": f"{ARN}notebook-instance/{name}", "ResourceName": name}
    app_type, owner, field = {
        Kind.CLASSIC: ("JupyterServer", "ada", "UserProfileName"),
        Kind.SPACE: ("JupyterLab", "team-a", "SpaceName"),
    }[kind]
    return {
        "AppType": app_type,
        "DomainId": domain,
        field: owner,
        "ResourceArn": f"{ARN}app/{domain}/{owner}/{app_type}/default",
        "ResourceName": "default",
    }


PLACES = {
    Kind.CLASSIC: "opt/conda/envs/studio",
    Kind.SPACE: "opt/conda",
    Kind.NOTEBOOK_INSTANCE: "home/ec2-user/anaconda3/envs/JupyterSystemEnv",
}
#: The images' programs, by name. Each ends the server, which its supervisor restarts.
RESTART = 'echo "$0 $*" >> {root}/restarts; kill "$(cat {root}/server.pid)"'
PROGRAMS = {
    Kind.CLASSIC: {"supervisorctl": f'[ "$3" = restart ] && {RESTART}'},
    Kind.SPACE: {"restart-jupyter-server": RESTART},
    Kind.NOTEBOOK_INSTANCE: {
        "systemctl": f'[ "$1" = is-active ] && exec test -e {{root}}/server.pid\n{RESTART}'
    },
}


@dataclass(frozen=True)
class Outcome:
    """The result of a run of the script."""

    code: int
    log: list[str]
    seconds: float


#: All runs of scripts in this process, for the summary of the tests.
RUNS: list[Outcome] = []


class StandIn:
    """One host, made from an image's environment."""

    def __init__(self, kind: Kind, environment: Environment, root: Path) -> None:
        self.kind = kind
        self.environment = environment
        self.root = root
        self.home = root / "home" / "user"
        self.home.mkdir(parents=True)
        place = root / PLACES[kind]
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(environment.folder)
        # The extension always uses the root /, but looks here as well.
        environment.fixed_settings.parent.mkdir(parents=True, exist_ok=True)
        environment.fixed_settings.symlink_to(self.fixed_settings)
        self.metadata = root / "opt/ml/metadata/resource-metadata.json"
        self.metadata.parent.mkdir(parents=True, exist_ok=True)
        # Of two servers on one app, one acts. Tests run side by side, so each has its own app.
        self.is_in(new_domain_id())
        self.programs = root / "programs"
        self.programs.mkdir()
        for name, body in PROGRAMS[kind].items():
            self.add_program(name, body.format(root=root))

    @property
    def fixed_settings(self) -> Path:
        """Where the script, as root, writes the admin's settings."""
        return self.root / FIXED_SETTINGS_FILE.lstrip("/")

    @property
    def restarts(self) -> list[str]:
        """The commands that restarted the server."""
        file = self.root / "restarts"
        return file.read_text().splitlines() if file.exists() else []

    def add_program(self, name: str, body: str) -> None:
        """A program that the script finds before the machine's own."""
        program = self.programs / name
        program.write_text(f"#!/bin/sh\n{body}\n")
        program.chmod(0o755)

    def env(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """The variables of the script and the server."""
        env = {k: v for k, v in os.environ.items() if not k.upper().startswith(NOT_INHERITED)}
        # pip's own settings on this machine would reach an index that a test has blocked.
        env = {k: v for k, v in env.items() if not k.startswith(("PIP_", "UV_", "PYTHON"))}
        env |= {
            "HOME": str(self.home),
            "PATH": f"{self.programs}{os.pathsep}{os.environ['PATH']}",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ACCESS_KEY_ID": "STANDIN",
            "AWS_SECRET_ACCESS_KEY": "not-a-secret",
            "AWS_REGION": "us-west-2",
            # Nothing answers there.
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}",
        }
        if self.kind is Kind.CLASSIC:
            env["AWS_SAGEMAKER_JUPYTERSERVER_IMAGE"] = "jupyter-server-3"
        return env | (dict(more) if more else {})

    def run(
        self, script: str, prefix: tuple[str, ...] = (), *, as_shipped: bool = False, **env: Any
    ) -> Outcome:
        """Runs a script like SageMaker when the app starts, with this root in place of /.

        ``as_shipped`` keeps its time limits, for tests of these limits.
        """
        return self.run_prepared(self.prepared(script, as_shipped=as_shipped), prefix, **env)

    def prepared(self, script: str, *, as_shipped: bool = False) -> Path:
        """A file with a script that has this root in place of /."""
        assert script.count("\nROOT=''\n") == 1
        script = script.replace("\nROOT=''\n", f"\nROOT='{self.root}'\n")
        if not as_shipped:
            # A busy machine is slower than any of Studio's instances.
            script = re.sub(r"\nINSTALL_TIME=(25|40)\n", "\nINSTALL_TIME=200\n", script)
            script = script.replace("\nRESTART_TIME=20\n", "\nRESTART_TIME=200\n")
            script = script.replace("TIME_LIMIT=$((SECONDS + 5))", "TIME_LIMIT=$((SECONDS + 200))")
        file = self.root / "on-start"
        file.write_bytes(script.encode())
        file.chmod(0o755)
        return file

    def run_prepared(self, file: Path, prefix: tuple[str, ...] = (), **env: str) -> Outcome:
        """Runs the file of `prepared`."""
        begin = time.monotonic()
        result = subprocess.run(
            [*prefix, str(file)],
            capture_output=True,
            text=True,
            env=self.env(env),
            cwd=self.home,
            timeout=400,
            check=False,
        )
        seconds = time.monotonic() - begin
        log = (result.stdout + result.stderr).splitlines()
        RUNS.append(Outcome(result.returncode, log, seconds))
        return RUNS[-1]

    def is_in(self, domain: str) -> None:
        """Makes it an app of this domain."""
        self.metadata.write_text(json.dumps(metadata_of(self.kind, domain)))

    @contextlib.contextmanager
    def server(self) -> Iterator[Server]:
        """The Jupyter server, under its supervisor; it answers by the time this returns."""
        server = Server(self)
        thread = threading.Thread(target=server.supervise, daemon=True)
        thread.start()
        try:
            server.wait_until(lambda: server.ask("api")[0] == 200)
            yield server
        finally:
            server.end()
            thread.join(120)


class Server:
    """A Jupyter server of the stand-in's environment, and its supervisor."""

    def __init__(self, stand_in: StandIn) -> None:
        self.stand_in = stand_in
        self.port = free_port()
        self.log = stand_in.root / "server.log"
        self._pid_file = stand_in.root / "server.pid"
        self._over = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id of the present process."""
        return int(self._pid_file.read_text())

    @property
    def command(self) -> list[str]:
        """Its supervisor."""
        command = [self.stand_in.environment.python, "-m", "jupyter_server", "--allow-root"]
        command += ["--no-browser", f"--ServerApp.port={self.port}", "--ServerApp.port_retries=0"]
        return [*command, "--ServerApp.ip=127.0.0.1", "--ServerApp.token="]

    @property
    def env(self) -> dict[str, str]:
        """Its variables."""
        return self.stand_in.env({"RESOURCE_METADATA_FILE": str(self.stand_in.metadata)})

    def supervise(self) -> None:
        """Runs it, and again whenever it has ended."""
        while not self._over.is_set():
            with self.log.open("ab") as log:
                self._process = subprocess.Popen(
                    self.command,
                    stdout=log,
                    stderr=log,
                    env=self.env,
                    cwd=self.stand_in.home,
                    start_new_session=True,
                )
            self._pid_file.write_text(str(self._process.pid))
            self._process.wait()

    def ask(self, path: str) -> tuple[int, Any]:
        """Status and JSON of its answer; status 0 while it does not answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=90)
        try:
            connection.request("GET", f"/{path}")
            answer = connection.getresponse()
            body = answer.read()
            is_json = "json" in (answer.getheader("Content-Type") or "")
            return answer.status, json.loads(body) if is_json else None
        except (OSError, http.client.HTTPException):
            return 0, None
        finally:
            connection.close()

    @property
    def has_extension(self) -> bool:
        """Whether the extension answers."""
        return self.ask("sagemaker-autoshutdown/api/status")[0] == 200

    def wait_for_extension(self) -> None:
        """Waits until the extension answers: on a busy machine it starts well after the server."""
        self.wait_until(lambda: self.has_extension)

    def wait_until(self, condition: Callable[[], bool], timeout: float = 300) -> None:
        """Waits for a condition of it."""
        end = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError(self.log.read_text())
            time.sleep(0.05)

    def end(self) -> None:
        """End it and its supervisor."""
        self._over.set()
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
