"""The build cache in registries and directories: export, import and its manifest."""
