"""Log: the client tells of retries, of changes to another node, and of lost locks.

It uses the standard library's logger `quorate.client` and says nothing unless the program sets up
logging. No value of a key is ever logged; names of keys are, as parts of paths.
"""

import logging

logging.getLogger("quorate").addHandler(logging.NullHandler())

LOG = logging.getLogger("quorate.client")
