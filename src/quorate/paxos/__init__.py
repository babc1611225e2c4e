"""The order of opaque batches, by Multi-Paxos; what a batch means is not known here."""
