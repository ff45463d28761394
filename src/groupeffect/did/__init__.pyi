from .basic import TwoByTwo, two_by_two, two_by_two_cross_sections
from .callaway_santanna import CallawaySantAnna
from .imputation import Imputation
from .local_projection import LocalProjection
from .stacked import Stacked
from .staggered_rollout import StaggeredRollout
from .sun_abraham import SunAbraham
from .twfe import TWFE
from .two_stage import TwoStage

__all__ = [
    "TWFE",
    "CallawaySantAnna",
    "Imputation",
    "LocalProjection",
    "Stacked",
    "StaggeredRollout",
    "SunAbraham",
    "TwoByTwo",
    "TwoStage",
    "two_by_two",
    "two_by_two_cross_sections",
]
