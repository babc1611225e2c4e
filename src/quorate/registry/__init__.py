"""The catalog of Consul: nodes, services, checks and sessions."""
