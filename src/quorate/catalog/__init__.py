"""The catalog of Consul: nodes, their health checks, and service instances."""
