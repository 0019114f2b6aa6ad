WANTED_APP_TYPE=JupyterServer

# Studio Classic's JupyterLab 3 image keeps its server in an environment of its own.
find_python() {
    PYTHON="$ROOT/opt/conda/bin/python"
    if [ "${AWS_SAGEMAKER_JUPYTERSERVER_IMAGE:-}" = jupyter-server-3 ]; then
        PYTHON="$ROOT/opt/conda/envs/studio/bin/python"
    fi
}
