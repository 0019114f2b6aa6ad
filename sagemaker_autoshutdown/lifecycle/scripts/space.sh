WANTED_APP_TYPE=JupyterLab

find_python() {
    PYTHON="$ROOT/opt/conda/bin/python"
}
