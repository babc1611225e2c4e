"""Health checks and failure detection: what decides, without I/O and clock."""
