"""Installs for a whole domain: lifecycle configuration scripts, and where they are attached.

Owns the scripts and what an admin does with them (render, install, uninstall, status, bundle).
Nothing here runs in a Jupyter server; ``on_start`` alone runs where a script does.
"""
