WANTED_APP_TYPE=''

# Seconds to install it (a new disk is slow), and to ask for the restart.
INSTALL_TIME=40
RESTART_TIME=5

# This script runs as root; the server and its environment are ec2-user's.
find_python() {
    PYTHON="$ROOT/home/ec2-user/anaconda3/envs/JupyterSystemEnv/bin/python"
}

# Does not wait: systemd may be starting the server at this moment.
restart_server() {
    systemctl is-active jupyter-server && systemctl --no-block restart jupyter-server
}
