from .checks import CHECKS, check_estimator
from .golden import GoldenBundle, GoldenCase, check_case, read_bundle
from .inference_checks import check_inference
from .outcomes import CheckFailedError, CheckOutcome, CheckReport
from .panels import Scenario, block_panel, conditional_trend_panel, scenarios, staggered_panel

__all__ = [
    "CHECKS",
    "CheckFailedError",
    "CheckOutcome",
    "CheckReport",
    "GoldenBundle",
    "GoldenCase",
    "Scenario",
    "block_panel",
    "check_case",
    "check_estimator",
    "check_inference",
    "conditional_trend_panel",
    "read_bundle",
    "scenarios",
    "staggered_panel",
]
