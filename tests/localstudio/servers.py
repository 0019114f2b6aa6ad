"""How the processes of apps are started: commands, environments, metadata files.

This module owns a process's arguments and environment; `runtime` decides when it runs. An
environment here holds none of the developer's own AWS settings, so that no call can reach a real
account by mistake.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import names
from .state import App, NotebookInstance

#: Prefixes of variables in a developer's shell that would change the processes here.
NOT_INHERITED = (
    "AWS_",
    "JPY_",
    "JUPYTER",
    "KERNEL_",
    "KG_",
    "LOCALSTUDIO_",
    "PYTEST",
    "RESOURCE_METADATA_FILE",
    "SAGEMAKER_",
    "VIRTUAL_ENV",
    "XDG_",
)
SERVER_EXTENSION = Path(__file__).with_name("server_extension.py")
SERVER_EXTENSION_NAME = "localstudio_server_extension"
#: Extensions that serve user interfaces. JupyterLab's runs Node at each start of a server.
USER_INTERFACES = ("jupyterlab", "jupyter_lsp", "nbclassic", "notebook", "notebook_shim")
BASE_URLS = {"JupyterServer": "/jupyter/default", "JupyterLab": "/jupyterlab/default"}


@dataclass(frozen=True)
class ServerOptions:
    """How the local Studio runs a Jupyter server."""

    #: The interpreter that runs it: of another environment, for a stand-in of an older image.
    python: str = sys.executable
    #: ``lab`` (JupyterLab) or ``server`` (no user interface, starts in half the time).
    frontend: str = "lab"
    #: More command line arguments, such as ``--SageMakerAutoShutdown.idle_timeout=60``.
    args: tuple[str, ...] = ()
    #: More environment variables.
    env: Mapping[str, str] = field(default_factory=dict)
    #: The server's token: None makes one; "" means no token, as in a JupyterLab space on AWS, but
    #: then every user of this machine can run code through it.
    token: str | None = None


@dataclass(frozen=True)
class Launch:
    """A process to start, and its address once it is up."""

    command: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path
    port: int
    url: str
    token: str


@dataclass(frozen=True)
class Places:
    """Folders of one run of an app."""

    #: The user's (or space's, or notebook instance's) home; outlives the app.
    home: Path
    #: The run's own: logs, metadata file.
    run: Path

    @property
    def metadata_file(self) -> Path:
        """The file that is /opt/ml/metadata/resource-metadata.json on AWS."""
        return self.run / "resource-metadata.json"

    def make(self) -> None:
        """Creates the folders, readable by their owner only."""
        for folder in (self.home, self.run):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)


@dataclass(frozen=True)
class Connections:
    """Where the processes reach the local Studio."""

    endpoint_url: str
    gateway_url: str = ""
    gateway_token: str = ""


def base_environment(endpoint_url: str, python: str, places: Places) -> dict[str, str]:
    """The environment that all processes of an app share."""
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith(NOT_INHERITED)
    }
    if python != sys.executable:
        env.pop("PYTHONPATH", None)
    jupyter = places.home / ".jupyter"
    env.update(
        aws_environment(endpoint_url, places.run),
        HOME=str(places.home),
        JUPYTER_CONFIG_DIR=str(jupyter),
        JUPYTER_DATA_DIR=str(places.home / ".local/share/jupyter"),
        JUPYTER_RUNTIME_DIR=str(places.run / "runtime"),
        PATH=os.pathsep.join([str(Path(python).parent), os.environ.get("PATH", os.defpath)]),
        RESOURCE_METADATA_FILE=str(places.metadata_file),
    )
    return env


def aws_environment(endpoint_url: str, folder: Path) -> dict[str, str]:
    """Variables that make boto3 talk to the local Studio, and to nothing else."""
    return {
        "AWS_ACCESS_KEY_ID": "LOCALSTUDIO",
        "AWS_SECRET_ACCESS_KEY": "not-a-secret",
        "AWS_ACCOUNT_ID": names.ACCOUNT,
        "AWS_REGION": names.REGION,
        "AWS_DEFAULT_REGION": names.REGION,
        "AWS_ENDPOINT_URL_SAGEMAKER": endpoint_url,
        "AWS_ENDPOINT_URL_PRICING": endpoint_url,
        "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS": endpoint_url,
        "AWS_ENDPOINT_URL_SSM": endpoint_url,
        "AWS_ENDPOINT_URL_STS": endpoint_url,
        "AWS_ENDPOINT_URL_RESOURCE_GROUPS_TAGGING_API": endpoint_url,
        # No profile of the developer, no instance role: calls to other services fail.
        "AWS_CONFIG_FILE": str(folder / "no-aws-config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(folder / "no-aws-credentials"),
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def app_metadata(app: App) -> dict[str, Any]:
    """The contents of resource-metadata.json of an app."""
    key = app.key
    document: dict[str, Any] = {
        "AppType": key.app_type,
        "DomainId": key.domain_id,
        key.owner.field: key.owner_name,
    }
    if key.app_type == "JupyterLab":
        document["ExecutionRoleArn"] = names.ROLE_ARN
    # Unlike the API's, this ARN holds the type in its usual spelling.
    document["ResourceArn"] = names.arn(
        f"app/{key.domain_id}/{key.owner_name}/{key.app_type}/{key.name}"
    )
    document["ResourceName"] = key.name
    document["AppImageVersion"] = ""
    if key.app_type == "JupyterLab":
        document["IpAddressType"] = "ipv4"
    return document


def notebook_metadata(notebook: NotebookInstance) -> dict[str, Any]:
    """The contents of resource-metadata.json of a notebook instance."""
    return {"ResourceArn": notebook.arn, "ResourceName": notebook.name}


def kernel_gateway(
    app: App, python: str, connections: Connections, places: Places, port: int
) -> Launch:
    """A KernelGateway app, run with an interpreter that also runs its kernels."""
    token = secrets.token_urlsafe(24)
    env = base_environment(connections.endpoint_url, python, places)
    env.update(
        KG_AUTH_TOKEN=token,
        JUPYTER_DATA_DIR=str(places.run / "data"),
        SAGEMAKER_APP_TYPE=app.key.app_type,
    )
    # A kernel's environment is this list's, plus what the request names KERNEL_...
    env["KG_ENV_PROCESS_WHITELIST"] = ",".join(sorted(set(env) - {"KG_AUTH_TOKEN"}))
    command = (
        python,
        "-m",
        "kernel_gateway",
        "--ip=127.0.0.1",
        f"--port={port}",
        "--port_retries=0",
        "--JupyterWebsocketPersonality.list_kernels=True",
    )
    _write_json(places.metadata_file, app_metadata(app))
    return Launch(command, env, places.home, port, f"http://127.0.0.1:{port}/", token)


def jupyter_server(
    what: App | NotebookInstance,
    options: ServerOptions,
    connections: Connections,
    places: Places,
    port: int,
) -> Launch:
    """A Jupyter server: of Classic, of a space or of a notebook instance."""
    token = secrets.token_urlsafe(24) if options.token is None else options.token
    env = base_environment(connections.endpoint_url, options.python, places)
    arguments = []
    if isinstance(what, NotebookInstance):
        base_url, document = "/", notebook_metadata(what)
    else:
        base_url, document = BASE_URLS[what.key.app_type], app_metadata(what)
        env["SAGEMAKER_APP_TYPE"] = what.key.app_type
        if what.key.owner.kind == "space":
            env["SAGEMAKER_SPACE_NAME"] = what.key.owner_name
        if what.key.app_type == "JupyterServer":
            env["AWS_SAGEMAKER_JUPYTERSERVER_IMAGE"] = "jupyter-server-3"
            env["JUPYTER_GATEWAY_AUTH_TOKEN"] = connections.gateway_token
            env["LOCALSTUDIO_GATEWAY_URL"] = connections.gateway_url
            env["LOCALSTUDIO_GATEWAY_TOKEN"] = connections.gateway_token
            arguments.append(f"--gateway-url={connections.gateway_url}")
            _install_server_extension(env, places)
    if options.frontend == "server":
        # Jupyter asks this folder first, before the environment's own.
        env["JUPYTER_CONFIG_PATH"] = str(places.run / "config")
        _enable(env["JUPYTER_CONFIG_PATH"], dict.fromkeys(USER_INTERFACES, False))
    if token:
        env["JUPYTER_TOKEN"] = token
    else:
        # The trait has different names in 1.x and 2.x; both versions know this one.
        arguments.append("--ServerApp.token=")
    env.update(options.env)
    module = {"lab": "jupyterlab", "server": "jupyter_server"}[options.frontend]
    command = (
        options.python,
        "-m",
        module,
        "--no-browser",
        "--allow-root",
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0",
        f"--ServerApp.base_url={base_url}",
        f"--ServerApp.root_dir={places.home}",
        *arguments,
        *options.args,
    )
    _write_json(places.metadata_file, document)
    url = f"http://127.0.0.1:{port}{base_url.rstrip('/')}/"
    return Launch(command, env, places.home, port, url, token)


def _install_server_extension(env: dict[str, str], places: Places) -> None:
    """Makes the server load our extension, in any environment.

    The file is copied next to the run and enabled below the server's own configuration folder, so
    that the environment's own extensions stay enabled.
    """
    folder = places.run / "extension"
    folder.mkdir(exist_ok=True)
    shutil.copyfile(SERVER_EXTENSION, folder / f"{SERVER_EXTENSION_NAME}.py")
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(folder), env.get("PYTHONPATH")]))
    _enable(env["JUPYTER_CONFIG_DIR"], {SERVER_EXTENSION_NAME: True})


def _enable(folder: str, extensions: dict[str, bool]) -> None:
    """Say in a configuration folder which extensions a server loads, and which not."""
    document = {"ServerApp": {"jpserver_extensions": extensions}}
    _write_json(Path(folder) / "jupyter_server_config.d" / "localstudio.json", document)


def _write_json(path: Path, document: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document), encoding="utf-8")
