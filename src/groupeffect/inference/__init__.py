"""Uncertainty, written once: strategies that know capabilities, not estimators."""
