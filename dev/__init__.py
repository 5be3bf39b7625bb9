"""Tools for developers: the sandbox, the demo, the benchmarks and the generators.

Attributes:
    ROOT: The checkout.
"""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
