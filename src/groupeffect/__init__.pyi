from . import did, errors, hte, reform, simulate, synth, testing
from .design.aggregation import by_calendar_time, by_cohort, by_event_time, overall
from .design.baseline import baseline_window
from .design.design import Design, block_design, staggered_design
from .effects.effects import Effects
from .fitting import Fit, fit
from .inference.cluster import ClusterRobust
from .inference.jackknife import Jackknife
from .inference.multiple_testing import adjust_family
from .inference.multiplier import MultiplierBootstrap
from .inference.placebo import PlaceboUnits
from .panel.columns import Columns
from .panel.folder import validate_folder
from .panel.panel import Panel
from .panel.read import read_panel
from .panel.school_files import read_school_files
from .panel.validation import validate_table
from .registry import discover
from .report import figures
from .result import Result

__all__ = [
    "ClusterRobust",
    "Columns",
    "Design",
    "Effects",
    "Fit",
    "Jackknife",
    "MultiplierBootstrap",
    "Panel",
    "PlaceboUnits",
    "Result",
    "adjust_family",
    "baseline_window",
    "block_design",
    "by_calendar_time",
    "by_cohort",
    "by_event_time",
    "did",
    "discover",
    "errors",
    "figures",
    "fit",
    "hte",
    "overall",
    "read_panel",
    "read_school_files",
    "reform",
    "simulate",
    "staggered_design",
    "synth",
    "testing",
    "validate_folder",
    "validate_table",
]
