"""Settings that must stand before the first import of torch."""

from __future__ import annotations

import os

# The models of the tests are so small that a second thread costs more than it computes.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# No test may reach for the hub; what looks for it is to fail at once.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
