"""Lifecycle configurations: scripts, where they are attached, infrastructure code."""
