"""The configuration files of a site and its users: rootless.toml, and the keys that the engine reads of
containers.conf and storage.conf. No other module reads them; `rootless.registry` reads registries.conf.
"""
