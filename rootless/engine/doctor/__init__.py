"""The checks of `doctor`: each feature that containers need is tried."""
