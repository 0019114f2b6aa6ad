"""Prometheus metrics: the collector, remote write, and files for Grafana and Prometheus."""
