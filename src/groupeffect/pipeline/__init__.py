"""A study from one file: specification, steps, outputs with their provenance."""
