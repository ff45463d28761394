from ._fixed import FixedWeights
from .synthetic_control import SyntheticControl
from .synthetic_did import SyntheticDiD

__all__ = ["FixedWeights", "SyntheticControl", "SyntheticDiD"]
