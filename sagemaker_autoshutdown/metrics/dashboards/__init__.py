"""A Grafana dashboard and Prometheus rules for the metrics, shipped as files.

``grafana-dashboard.json`` can be imported as it is; ``prometheus-rules.yml`` goes among a
Prometheus server's rule files. ``fleet-dashboard.json`` and ``fleet-rules.yml`` are for the
metrics of ``fleet run``.
"""
