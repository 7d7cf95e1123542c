"""Weight-free ONNX graphs of GenoLeWM's language models."""
