"""Benchmarks: methods × sets × metrics, from the option file to tables and a report."""
