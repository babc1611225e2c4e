"""How long tests wait for what must happen. No verdict depends on how fast a machine is."""

HANG_S = 120.0
"""What waits for an event gives up after this long: then it hangs. Far more than anything takes on
a machine that runs fifty other programs."""

SILENT_S = 0.3
"""What must not happen is watched for this long; on a slow machine a fault may stay unseen then,
but what is right never fails."""
