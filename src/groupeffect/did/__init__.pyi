from .basic import TwoByTwo, two_by_two, two_by_two_cross_sections
from .callaway_santanna import CallawaySantAnna
from .twfe import TWFE

__all__ = ["TWFE", "CallawaySantAnna", "TwoByTwo", "two_by_two", "two_by_two_cross_sections"]
