"""Networks of containers: options as values, and drivers that connect a network namespace.

`options`, `ports` and `setup` are pure; `helper` starts the program of a driver, and `listening` and `forwarder` publish ports.
"""
