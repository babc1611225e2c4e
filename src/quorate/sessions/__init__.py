"""The sessions of Consul: a promise to be alive, which holds keys and ends with its node."""
