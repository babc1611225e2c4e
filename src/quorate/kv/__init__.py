"""The keys and values of Consul, and which session holds which key."""
