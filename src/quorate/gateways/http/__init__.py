"""Consul's HTTP API: connections, routes, words. Everything it asks goes through `base.ports`."""
