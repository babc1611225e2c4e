"""User events of Consul: a name and a small payload, of which the newest are kept."""
