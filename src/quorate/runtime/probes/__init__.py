"""Probes of an agent's checks: HTTP, TCP, UDP, scripts, containers, services of the system."""
