"""Load balancing: which instance gets a request. Pure: random numbers and time are arguments.

`strategies` lists every strategy by the name that the field gives it. A strategy holds the
instances, counts what it sent to each, and answers `choose`. `balancer` puts a strategy together
with outlier ejection and slow start. `docs/balancing.md` says which strategy is for what.

What is kept belongs to an instance, and goes with it; keys of requests are never kept.
"""
