"""Measurements of whole clusters, beside the rivals installed on this machine.

Not part of the package: `python -m benchmarks` from the repository.
"""
