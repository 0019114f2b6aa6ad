"""Sends metrics out of Studio by Prometheus remote write. Off unless the admin names a receiver.

A scrape from outside can't reach a server in Studio. With this, each server sends its own samples
to one place: Amazon Managed Prometheus, Mimir, Thanos, a Prometheus. Needs the extra
``remote-write``.
"""
