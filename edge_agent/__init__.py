"""A blackbox recorder for a Raspberry Pi with two cameras.

Each package says in its docstring what belongs there; README's Architecture is the map of them, and
`tests/test_layers.py` holds who may import whom.
"""

from __future__ import annotations

__version__ = "0.1.0"
