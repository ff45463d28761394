"""What is compared with what: cohorts, comparison pool, base period, cells, aggregation schemes."""
