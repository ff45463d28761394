from .agreement import Agreement
from .analysis import ReformAnalysis, Refusal, analyse_reform
from .area import AreaAdjusted
from .bands import ClusterBand
from .certainty import Certainty, Check, certainty, certainty_label, grade
from .effects import RoleEffect, core_effect, member_effect
from .floor import Supported
from .magnitude import eef_months, kraft_size
from .naive import NaiveEstimate, before_after, last_year_base
from .net import NetEffect, NetEstimator, net_effect
from .noninferiority import NonInferiority, noninferiority
from .placebo import PreTrendReport
from .roles import Roles, pre_designation_baseline
from .spec import RoleSpec, strong_schools
from .support import SupportCell, SupportMap, support_map

__all__ = [
    "Agreement",
    "AreaAdjusted",
    "Certainty",
    "Check",
    "ClusterBand",
    "NaiveEstimate",
    "NetEffect",
    "NetEstimator",
    "NonInferiority",
    "PreTrendReport",
    "ReformAnalysis",
    "Refusal",
    "RoleEffect",
    "RoleSpec",
    "Roles",
    "SupportCell",
    "SupportMap",
    "Supported",
    "analyse_reform",
    "before_after",
    "certainty",
    "certainty_label",
    "core_effect",
    "eef_months",
    "grade",
    "kraft_size",
    "last_year_base",
    "member_effect",
    "net_effect",
    "noninferiority",
    "pre_designation_baseline",
    "strong_schools",
    "support_map",
]
