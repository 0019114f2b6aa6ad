"""Installs for a whole domain: lifecycle configuration scripts, and their attachment.

This package owns the scripts and an admin's commands for them (render, install, uninstall, status,
bundle). Nothing here runs in a Jupyter server; only ``on_start`` runs in an app, with the script.
"""
