"""What of the contract is not here yet. Each of these lists is to shrink until it is empty.

Tests fail when something on them has come: then it is taken off, and held to the contract.
"""

from __future__ import annotations

from typing import Final

OPERATIONS: Final[frozenset[str]] = frozenset()
PERMISSIONS: Final = "permissions"
FEATURES: Final[frozenset[str]] = frozenset()
# Keys of what is served that are null whatever one does.
KEYS: Final[frozenset[str]] = frozenset()
EVENTS: Final[frozenset[str]] = frozenset()
