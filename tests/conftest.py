"""What holds for every test: hypothesis judges values, never time.

In CI its choices are fixed, so that a run says something about the change and not about luck;
elsewhere each run tries others.
"""

import os

from hypothesis import settings

settings.register_profile("house", deadline=None, derandomize="CI" in os.environ, print_blob=True)
settings.load_profile("house")
