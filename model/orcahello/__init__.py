"""OrcaHello's published detector as a Haro model: read its weights without running anything, write ONNX, verify."""
