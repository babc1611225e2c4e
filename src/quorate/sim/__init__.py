"""Another body for the same node: one seed, one thread, time made up."""
