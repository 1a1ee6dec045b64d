"""Spark: one file a table, one public build_<table>(frames…, night, config) -> DataFrame."""
