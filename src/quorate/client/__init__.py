"""Guests: what a program needs to talk to a cluster, importable without the server."""
