"""One whole node as a pure machine: events in, effects out."""
