from .attrition import Attrition, attrition, attrition_boundary
from .balance import BalanceRow, baseline_balance, hedges_g, wwc_category
from .pretrends import Equivalence, PreTrends, equivalence, pretrends
from .reliability import Reliability, reliability

__all__ = [
    "Attrition",
    "BalanceRow",
    "Equivalence",
    "PreTrends",
    "Reliability",
    "attrition",
    "attrition_boundary",
    "baseline_balance",
    "equivalence",
    "hedges_g",
    "pretrends",
    "reliability",
    "wwc_category",
]
