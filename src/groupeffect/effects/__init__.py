"""What every estimator returns: estimates, influence by unit, shares, weights, counterfactual."""
