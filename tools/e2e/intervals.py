"""
How far a rate that was counted may be from the true one.

Wilson's score interval (E. B. Wilson, J. Am. Stat. Assoc. 22, 1927, p. 209-212), which Brown, Cai
and DasGupta (Statistical Science 16, 2001, p. 101-133) advise for few trials and rates near one,
where the usual "plus or minus" says that nothing can ever fail.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

CONFIDENCE: Final = 0.95


@dataclass(frozen=True)
class Rate:
    """
    So many of so many.

    Attributes:
        low: Lower end of Wilson's interval at 95 % confidence; so is ``high`` its upper end.
    """

    good: int
    of: int

    @property
    def share(self) -> float:
        """What was counted; nothing counted is no rate."""
        return self.good / self.of if self.of else math.nan

    @property
    def low(self) -> float:
        """Lower end."""
        return self._ends()[0]

    @property
    def high(self) -> float:
        """Upper end."""
        return self._ends()[1]

    def _ends(self) -> tuple[float, float]:
        if not self.of:
            return 0.0, 1.0
        z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
        n, share = self.of, self.share
        middle = (share + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
        return max(0.0, middle - half), min(1.0, middle + half)

    def __str__(self) -> str:
        if not self.of:
            return "nothing counted"
        return (
            f"{self.good:,} of {self.of:,} = {_percent(self.share)} "
            f"(95 % confidence, Wilson: {_percent(self.low)} to {_percent(self.high)})"
        )


def _percent(share: float) -> str:
    """Two digits after the point, never rounded up to all."""
    return f"{math.floor(share * 1e4 + 1e-9) / 100:.2f} %"
