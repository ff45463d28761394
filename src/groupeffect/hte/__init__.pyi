from .causal_graph import CausalGraph, Identification, identify, reform_graph
from .dr_did_scores import DRScores, ScoreOptions, dr_did_scores
from .dr_learner import DRLearner
from .refutation import Refutation, RefutationReport, refute

__all__ = [
    "CausalGraph",
    "DRLearner",
    "DRScores",
    "Identification",
    "Refutation",
    "RefutationReport",
    "ScoreOptions",
    "dr_did_scores",
    "identify",
    "reform_graph",
    "refute",
]
