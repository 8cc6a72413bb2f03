"""The files in which a site and its users set defaults of the engine: rootless.toml, and what is read of containers.conf
and storage.conf. No other module reads them, but for registries.conf (`rootless.registry`).
"""
