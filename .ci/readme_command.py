"""Prints the N-th fenced `sh` block of the README."""

import re
import sys
from pathlib import Path

blocks = re.findall(r"^```sh\n(.*?)^```", Path("README.md").read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
sys.stdout.write(blocks[int(sys.argv[1]) - 1])
