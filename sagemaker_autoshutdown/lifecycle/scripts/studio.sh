# Seconds to install it, and for the restart.
INSTALL_TIME=25
RESTART_TIME=20

# What the image has for it, else what that does. Whatever fails half-way, the server is up again.
restart_server() {
    restart-jupyter-server || supervise restart || supervise start
}

supervise() {
    as_root supervisorctl -c "$ROOT/etc/supervisor/conf.d/supervisord.conf" "$1" jupyterlabserver
}
