"""Image restoration by stochastic differential equations: schedules, steps and samplers.

All functions are pure and work on tensors; networks are passed as functions.
"""
