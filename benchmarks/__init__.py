"""Measurements of whole clusters, beside other systems installed on this machine.

Not part of the package: `python -m benchmarks` from the repository.
"""
