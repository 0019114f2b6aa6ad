# Seconds to install it, and for the restart.
INSTALL_TIME=25
RESTART_TIME=20

# The image's own command, else the same steps. After any failure the server is up again.
restart_server() {
    restart-jupyter-server || supervise restart || supervise start
}

supervise() {
    as_root supervisorctl -c "$ROOT/etc/supervisor/conf.d/supervisord.conf" "$1" jupyterlabserver
}
