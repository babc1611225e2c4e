"""The replicated state machine: commands in, results and touched keys out."""
