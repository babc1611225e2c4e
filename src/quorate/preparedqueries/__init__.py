"""Prepared queries: which instances of which service are chosen, stored under a name."""
