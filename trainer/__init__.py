"""Rewards to a better policy: data, stages, evaluation."""
