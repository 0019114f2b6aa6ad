"""Prometheus metrics: the collector, remote write, and what to do with them."""
