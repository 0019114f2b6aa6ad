WANTED_APP_TYPE=JupyterLab

find_python() {
    PYTHON="$ROOT/opt/conda/bin/python"
}

# What the image has for it, else what that does. Fails where no server is up yet.
restart_server() {
    bounded restart-jupyter-server ||
        bounded as_root supervisorctl -c "$ROOT/etc/supervisor/conf.d/supervisord.conf" restart jupyterlabserver
}
