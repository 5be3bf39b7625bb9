"""The rate limit and its headers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from email.utils import formatdate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from .behaviour import Behaviour


@dataclass
class RateLimit:
    """Counts calls; a period begins with its first call.

    Attributes:
        clock: Unix time in seconds.
    """

    clock: Callable[[], float]
    _resets_at: float = 0.0
    _calls: int = 0

    def count(self, behaviour: Behaviour) -> tuple[dict[str, str], bool]:
        """Count one call.

        Voucherify docs: `X-Rate-Limit-Retry` is a Unix time in seconds; `Retry-After`, which is
        optional, a number of seconds.

        Returns:
            The rate-limit headers, and whether the call is within the limit.
        """
        limit = behaviour.rate_limit
        if limit is None:
            return dict(behaviour.rate_limit_headers), True
        now = self.clock()
        if now >= self._resets_at:
            self._resets_at, self._calls = now + behaviour.rate_limit_period_seconds, 0
        self._calls += 1
        unit = 1000 if behaviour.rate_limit_unit == "milliseconds" else 1
        headers = {
            "X-Rate-Limit-Limit": str(limit),
            "X-Rate-Limit-Remaining": str(max(0, limit - self._calls)),
            "X-Rate-Limit-Retry": str(math.ceil(self._resets_at * unit)),
            "X-Rate-Limit-Type": behaviour.rate_limit_type,
        }
        allowed = self._calls <= limit
        if not allowed and behaviour.retry_after_header:
            headers["Retry-After"] = (
                formatdate(math.ceil(self._resets_at), usegmt=True)
                if behaviour.retry_after_form == "date"
                else str(math.ceil(self._resets_at - now))
            )
        return headers | dict(behaviour.rate_limit_headers), allowed
