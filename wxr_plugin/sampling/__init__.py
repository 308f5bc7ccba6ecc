"""Image restoration by a stochastic differential equation: schedules, steps and samplers.

Tensors in, tensors out.
"""
