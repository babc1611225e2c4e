"""A test lab: real nodes on this machine, faults between them, and the demo."""
