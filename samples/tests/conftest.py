"""Makes the samples importable."""

from __future__ import annotations

import sys
from pathlib import Path

SAMPLES = str(Path(__file__).resolve().parents[1])
if SAMPLES not in sys.path:
    sys.path.append(SAMPLES)
