"""The browser's side: the page, the HTTP API, live view, and who may use them. Tornado is imported here only."""

from __future__ import annotations

import sys

# Tornado's log would load curses, whose libraries take 0.5 MB, for colours that it is never asked for; it does without.
sys.modules.setdefault("curses", None)  # type: ignore[arg-type]  # how Python spells "there is none"
