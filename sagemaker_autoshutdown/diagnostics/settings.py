"""The admin's settings from the server's configuration files."""

from __future__ import annotations

from jupyter_core.application import JupyterApp
from traitlets import Unicode

from ..settings.admin import SageMakerAutoShutdown, load


class _Files(JupyterApp):  # type: ignore[misc, unused-ignore]
    """Reads the same files as a Jupyter server, and starts nothing."""

    name = "jupyter-server"
    config_file_name = Unicode("jupyter_server_config")
    raise_config_file_errors = True


def admin_settings() -> tuple[SageMakerAutoShutdown, list[str]]:
    """The settings, and their errors. A server's command line is not known here."""
    files = _Files()
    faults = []
    try:
        files.load_config_file()
    except Exception as error:
        faults.append(f"a configuration file can't be read: {error}")
    config, wrong = load(files)
    return config, [*faults, *wrong]
