"""Grafana dashboards and Prometheus rules: the programs that write what k8s/components/monitoring
holds. `python -m tools.monitoring` writes it again."""
