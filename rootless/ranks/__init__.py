"""The ranks of a job step that share one container."""
