"""Configuration entries, as a domain: what Consul keeps for meshes and gateways, and intentions."""
