"""Log: retries, changes to another node, and lost locks.

They go to the standard library's logger `quorate.client`, which is silent unless the program sets
up logging. Values of keys are never logged; names of keys are, as parts of paths.
"""

import logging

logging.getLogger("quorate").addHandler(logging.NullHandler())

LOG = logging.getLogger("quorate.client")
