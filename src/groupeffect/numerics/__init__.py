"""Numerics: arrays in, small frozen results out; no tables, no Panel."""
