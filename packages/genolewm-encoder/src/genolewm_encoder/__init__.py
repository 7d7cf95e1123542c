"""Carbon, the frozen DNA language model, in PyTorch for GenoLeWM."""
