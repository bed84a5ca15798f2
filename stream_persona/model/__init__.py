"""The classifier: additive statistics, weights, calibration, explanations. Pure."""
