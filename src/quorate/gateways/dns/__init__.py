"""Consul's DNS interface: names, answers, UDP and TCP. Reads only, through `serving`."""
